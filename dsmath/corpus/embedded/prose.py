"""English pages without mathematics: many of them full of numbers and dollars."""

import random
from collections.abc import Callable

from dsmath.corpus.embedded.article import Article

# ruff: noqa: SIM905, E501 - word lists read best as text; a sentence a line
TOWNS = "Ashford Birchwood Calder Dunmore Eastlake Fernhill Glenrock Harborough Ironbridge Kingsley Larkfield Millbrook Norwick Oakham Pinehurst Redcliff Stonebridge Thornbury Westbrook Winfield".split()
PEOPLE = "Abigail Bernard Camille Dominic Elena Frederick Georgia Harold Isabel Jerome Katrina Leonard Margot Nathan Olivia Patrick Renata Stephen Theresa Vincent".split()
SURNAMES = "Archer Bennett Castillo Donovan Ellis Fournier Grant Hughes Ingram Jarvis Keller Lambert Morales Novak Osborne Parrish Quinn Reyes Sutton Vaughn".split()

Words = Callable[[random.Random], dict[str, str]]


def _person(r: random.Random) -> str:
    return f"{r.choice(PEOPLE)} {r.choice(SURNAMES)}"


def fill(r: random.Random, sentences: tuple[str, ...], count: int, **words: str) -> str:
    """Some of the sentences, each with fresh numbers, people and towns."""
    return " ".join(
        sentence.format(
            n=r.randint(3, 29), m=r.randint(31, 980), p=f"{r.randint(4, 240)}.{r.choice(('00', '49', '50', '95', '99'))}",
            d=f"{r.randint(1, 19)}.{r.randint(1, 9)}", who=_person(r), other=_person(r), town=r.choice(TOWNS),
            place=r.choice(TOWNS), year=r.randint(1950, 2023), **words,
        )
        for sentence in r.sample(sentences, min(count, len(sentences)))
    )  # fmt: skip


def paragraphs(r: random.Random, sentences: tuple[str, ...], **words: str) -> list[str]:
    """All sentences' pool dealt into paragraphs without repetition."""
    pool = r.sample(sentences, min(len(sentences), r.randint(9, 14)))
    cuts = range(0, len(pool), 3)
    return [fill(r, tuple(pool[i : i + 3]), 3, **words) for i in cuts]


SHOP = (
    "The {colour} {item} is made of {material} and weighs about {d} pounds.",
    "Reduced while stocks last.",
    "Free shipping on orders over ${m}; returns are accepted within {n} days.",
    "Customers who viewed this {item} also bought a {second} for ${p}.",
    "Rated by {m} buyers; most of them would recommend it to a friend.",
    "Ships from our warehouse in {town} within {n} hours.",
    "Choose between {colour}, grey and ivory at checkout.",
    "Save ${n} with the coupon at the top of the page.",
    "The {material} can be wiped clean with a damp cloth.",
    "Review by {who}: arrived quickly, looks exactly like the picture, my sister wants one too.",
    "Review by {other}: the {item} is lovely but the box was dented.",
    "Warranty: {n} months from the date of purchase.",
    "Bundle offer: {item} plus {second} together for ${p}.",
    "Our store in {town} keeps a sample on display.",
    "Pay in instalments of ${p} without extra charge.",
    "Gift wrapping is available for ${n}.",
    "Assembly takes a quarter of an hour and no tools are needed.",
    "Please measure your doorway before ordering large pieces.",
)
_ITEMS = "armchair backpack blanket bookcase candlestick coat desk kettle lantern mattress mirror pillow raincoat sandals saucepan scarf sofa suitcase teapot umbrella vase wallet".split()
_MATERIALS = "bamboo,brushed steel,canvas,cotton,leather,linen,oak veneer,recycled plastic,stoneware,walnut,wool".split(
    ","
)

NEWS = (
    "The council of {town} voted on {day} to repair the old bridge.",
    "Around {m} residents came to the town hall to voice their concerns.",
    "{who}, who has lived in {place} since {year}, said the noise had become unbearable.",
    "The mayor, {other}, promised to publish a report before the end of the month.",
    "Police are looking for witnesses after a shop window was broken in {town}.",
    "Unemployment in the district fell to {d} percent, the lowest since {year}.",
    "A poll of {m} voters put the governing party ahead by {n} points.",
    "Firefighters from {place} were called to a barn late on {day}.",
    "The hospital will add {n} beds and hire nurses from abroad.",
    "Local farmers fear a dry summer after only {n} millimetres of rain.",
    "The museum expects {m} visitors for the opening of its new wing.",
    "School buses will take a detour through {town} until further notice.",
    "{who} declined to comment when reached by telephone.",
    "The festival returns to {place} after a pause of {n} years.",
    "Critics say the plan costs too much and helps too few.",
    "An earlier version of this article misspelled the name of {other}.",
    "A spokesperson for the railway apologised for delays of up to {n} minutes.",
    "The weekend will be windy, with temperatures near {n} degrees.",
)
SPORTS = (
    "{town} beat {place} {n} to {k} in front of {m} spectators.",
    "{who} scored in minute {n} after a long pass from {other}.",
    "The coach praised the defence and blamed the referee for the rest.",
    "With {n} points from {k} games the team climbs to place {k} in the table.",
    "{other} left the pitch with a knee injury and will miss {k} weeks.",
    "Attendance: {m}. Yellow cards: {k}.",
    "The marathon in {place} was won by {who} in two hours and {n} minutes.",
    "After the break {town} pressed harder and hit the post twice.",
    "Quarter scores: {n}-{k}, {n}-{n}, {k}-{n}, {n}-{k}.",
    "{who} finished with {n} rebounds and {k} assists.",
    "The final set went to a tie-break, which {other} lost at the net.",
    "Tickets for the derby sold out within {n} minutes.",
    "The club signed {who} from {place} for {k} years.",
    "Fans sang until the lights went out.",
    "Next week the team travels to {town}.",
    "Season average: {d} goals per match, a record since {year}.",
)
FINANCE = (
    "Shares of {company} closed at ${p}, up {d} percent on the day.",
    "Revenue rose to ${m} million in the quarter, above expectations.",
    "The board proposed a dividend of ${d} per share.",
    "Analyst {who} kept her rating and raised the target to ${p}.",
    "Bond yields slipped after the central bank left rates unchanged.",
    "{company} plans to cut {m} jobs at its plant in {town}.",
    "Crude oil traded near ${p} a barrel.",
    "Operating margin narrowed because of higher freight costs.",
    "The takeover values the retailer at ${m} million including debt.",
    "Chief executive {other} called it a year of transition.",
    "Investors pulled ${m} million out of property funds.",
    "The currency lost {d} percent against the dollar.",
    "Inflation eased in {place} and surroundings, the statistics office reported.",
    "Trading volume was thin ahead of the holiday.",
    "Futures pointed to a lower open on {day}.",
    "A rights issue of {m} million shares is planned for the autumn.",
)
COOKING = (
    "Chop the {veg} finely and soften it in butter over a low flame.",
    "Add {n} grams of {spice} and stir until it smells toasted.",
    "Simmer for {n} minutes; the sauce should coat a spoon.",
    "Preheat the oven and line a tray with paper.",
    "My grandmother in {town} always used a pinch of {spice} here.",
    "Serve with rice, flat bread or roasted {veg}.",
    "The dough rests overnight in the fridge.",
    "Season to taste and squeeze half a lemon over the dish.",
    "You can freeze leftovers for {n} days.",
    "Question from {who}: can I use oil instead of butter? Reply by {other}: yes, but let it get hot first.",
    "Drain the {veg} well or the filling turns watery.",
    "Whisk the eggs with sugar until pale.",
    "A cast iron pan gives the best crust.",
    "Do not open the oven during the first {n} minutes.",
    "Garnish with parsley and a drizzle of cream.",
)
CHAT = (
    "Did anyone watch the last episode? No spoilers please.",
    "My cat sat on the keyboard again.",
    "{who}: welcome back, how was {town}?",
    "I finally finished the book and the ending made me cry.",
    "Anyone up for a walk on {day}?",
    "{other}: the new café in {place} is overrated.",
    "My phone died twice today, time for a new one.",
    "Traffic was horrible, {n} minutes for two blocks.",
    "I vote for pizza.",
    "Happy birthday {who}!!",
    "Same here, could not sleep at all.",
    "Where did you buy that jacket?",
    "Post pictures of the puppy or it did not happen.",
    "The neighbours are drilling again.",
    "Thanks everyone for the kind words.",
    "Moving to {town} next month, tips welcome.",
    "lol that made my day",
)
TRAVEL = (
    "We arrived in {town} by night train and walked to the harbour.",
    "The hostel charges ${p} for a bed with breakfast.",
    "From the castle you can see as far as {place}.",
    "Take bus {n} to the last stop and follow the river.",
    "Local markets open at dawn.",
    "Our guide {who} knew every stone of the old quarter.",
    "Pack a raincoat, showers come without warning.",
    "The ferry runs every {n} minutes in summer.",
    "Dinner for two was about ${p} with wine.",
    "The trail climbs through beech woods to a chapel from {year}.",
    "Photographs are not allowed inside.",
    "We would return for the seafood alone.",
    "A day trip to {place} is worth the early start.",
    "The beach gets crowded after noon.",
    "Book ahead on {day}, when half the city is out.",
)
HEALTH = (
    "Most adults need between seven and nine hours of sleep.",
    "Dr {who} advises patients to drink water before meals.",
    "In a survey of {m} people, {n} percent reported back pain.",
    "Stretch gently and stop if it hurts.",
    "The clinic in {town} offers walk-in appointments on {day}.",
    "A study found that the average participant lost {d} kilograms.",
    "Talk to your pharmacist before combining medicines.",
    "Symptoms usually fade within {n} days.",
    "Fresh air helps more than most people expect.",
    "{other} swears by swimming twice a week.",
    "The vaccine is recommended from age {n}.",
    "Avoid screens in the hour before bed.",
    "Ask for a second opinion if you are unsure.",
    "Blood pressure should be measured while seated.",
)
USER = (
    "Member for {n} years, last seen on {day}.", "Reputation {m}, badges {n}.", "Lives in {town}, likes hiking and tea.", "Top posts are listed below in the order of votes.", "{who} has not written anything about themselves yet.", "Profile views: {m}.",
    "Follows {n} other members.", "Favourite quotation: less is more.", "Works for a publisher in {place}.", "Joined the chat room {n} times this year.", "Next badge: editor, {n} edits to go.", "Network accounts: {k}.",
    "Contact by the form at the bottom of the page.", "Photo by {other}.",
)  # fmt: skip


def shop(r: random.Random) -> Article:
    """A product with prices in dollars."""
    item, second = r.sample(_ITEMS, 2)
    words = {
        "item": item,
        "second": second,
        "colour": r.choice("blue green red beige navy mustard".split()),
        "material": r.choice(_MATERIALS),
    }
    model = f"{r.choice(('Nordic', 'Classic', 'Comfort', 'Urban', 'Studio'))} {r.randint(100, 999)}"
    price = f"${r.randint(9, 400)}.99"
    specification = "\n".join(
        f"- {k}: {v}"
        for k, v in (
            ("Width", f"{r.randint(10, 200)} cm"),
            ("Price", price),
            ("In stock", r.randint(1, 90)),
            ("Item number", r.randint(10000, 99999)),
        )
    )
    title = f"{words['colour'].capitalize()} {item} {model} – {price}"
    return Article(title, (*paragraphs(r, SHOP, **words), specification))


def _article(
    sentences: tuple[str, ...], titles: tuple[str, ...], words: Words = lambda r: {}
) -> Callable[[random.Random], Article]:
    def make(r: random.Random) -> Article:
        drawn = {
            "day": r.choice("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()),
            "k": str(r.randint(2, 9)),
            **words(r),
        }
        title = r.choice(titles).format(town=r.choice(TOWNS), who=_person(r), n=r.randint(2, 30), **drawn)
        return Article(title[0].upper() + title[1:], tuple(paragraphs(r, sentences, **drawn)))

    return make


def _company(r: random.Random) -> dict[str, str]:
    return {"company": f"{r.choice(SURNAMES)} {r.choice(('Holdings', 'Industries', 'Foods', 'Logistics', 'Energy'))}"}


def _kitchen(r: random.Random) -> dict[str, str]:
    return {
        "veg": r.choice("aubergine carrot fennel leek onion pepper pumpkin spinach".split()),
        "spice": r.choice("cardamom cinnamon cumin ginger nutmeg paprika saffron turmeric".split()),
    }


news = _article(
    NEWS,
    (
        "{town} council decides on bridge",
        "Residents of {town} protest",
        "{who} elected in {town}",
        "What changes in {town} this spring",
        "Storm warning for {town}",
        "Survey: life in {town}",
    ),
)
sports = _article(
    SPORTS,
    (
        "{town} wins at home",
        "{who} signs with {town}",
        "Match report: day {n} in {town}",
        "Injury news from {town}",
        "Marathon in {town}",
    ),
)
finance = _article(
    FINANCE,
    (
        "{company} beats forecasts",
        "Markets wrap for {day}",
        "{company} names {who} as chair",
        "Why {company} fell by {n} percent",
    ),
    _company,
)
cooking = _article(
    COOKING,
    (
        "Roasted {veg} with {spice}",
        "How long does {veg} keep?",
        "{spice} buns from {town}",
        "Soup of {veg} the quick way",
        "Is {spice} too strong for {veg}?",
    ),
    _kitchen,
)
chat = _article(
    CHAT,
    ("Off topic thread {n}", "Say hello here, part {n}", "Weekend plans in {town}", "What made you laugh on {day}?"),
)
travel = _article(TRAVEL, ("{n} days in {town}", "A weekend in {town}", "Hiking near {town}", "Where to eat in {town}"))
health = _article(HEALTH, ("Sleeping well in {town}", "{n} habits for a healthy back", "Ask the doctor: {who} answers"))
user = _article(USER, ("User {who}", "{who} – profile", "Member {who} from {town}"))
