"""resiliparse's DOM, where its types and its traps are looked at once.

A NodeList is asked for its `values()`: iterating over one takes the square of its length. `document.text` crashes the
process in resiliparse 2.0.1, so text is only asked of elements. Nodes are collected before any is changed.
"""

from resiliparse.parse.html import ElementNode, HTMLTree, Node


def elements(tree: HTMLTree, name: str) -> list[ElementNode]:
    """All elements of a name, in document order."""
    document = tree.document
    return [] if document is None else list(document.get_elements_by_tag_name(name).values())


def select(tree: HTMLTree, selector: str) -> list[ElementNode]:
    """All elements that a CSS selector matches, in document order."""
    document = tree.document
    return [] if document is None else list(document.query_selector_all(selector).values())


def first(tree: HTMLTree, selector: str) -> ElementNode | None:
    """The first element that a CSS selector matches."""
    document = tree.document
    return None if document is None else document.query_selector(selector)


def text_of(element: ElementNode) -> str:
    """All text in an element, scripts' too."""
    return element.text or ""


def replace(tree: HTMLTree, element: ElementNode, text: str) -> bool:
    """A text, or nothing, in the place of an element; False where that went already, with one that it was in."""
    parent = element.parent
    if parent is None:
        return False
    if text:
        node = tree.create_text_node(text)
        if node is not None:
            parent.replace_child(node, element)
    else:
        parent.remove_child(element)
    return True


def wrap(tree: HTMLTree, element: Node, name: str) -> None:
    """A new element around one."""
    parent, block = element.parent, tree.create_element(name)
    if parent is not None and block is not None:
        parent.replace_child(block, element)
        block.append_child(element)
