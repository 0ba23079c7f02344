"""The terminal pages of `dsmath annotate`: one candidate domain a page."""
