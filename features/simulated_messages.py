"""The wording of simulated messages: templates × slots, chosen by the latent stage only in part.

Everything said is about an invented meal-box shop. A message is an opener, a sentence and a closer; the share of
sentences that say nothing about the stage grows with the difficulty.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.simulated_journeys import ADVOCATE, AWARE, CONSIDERING, CONVERTED, DORMANT

Ints = NDArray[np.int64]

STAGELESS_SHARE: Final = (0.25, 0.5)  # of messages: at difficulty 0, and what difficulty 1 adds
FOREIGN_SHARE: Final = 0.2  # of the stageless ones: another language or emoji
STRAY_SHARE: Final = 0.12  # stage-worded messages that borrow the wording of a neighbouring stage
TYPO_SHARE: Final = 0.10

_SLOTS: Final = {
    "box": ("the family box", "the veggie box", "the starter box", "the weekly plan", "the fish box", "the duo plan"),
    "topic": ("delivery", "the recipes", "portion sizes", "allergens", "the packaging", "the menu", "cooking time"),
    "who": ("my sister", "a colleague", "a friend", "my neighbour", "our nanny", "someone at the gym"),
    "when": ("next week", "after payday", "from Monday on", "once we have moved", "before the holidays"),
    "place": ("a video", "a poster", "the radio", "a podcast", "a leaflet", "the market"),
    "dish": ("the lentil curry", "the lasagne", "the tacos", "the noodle soup", "the risotto", "the shakshuka"),
}

_SAID: Final = {
    AWARE: (
        "just saw you on {place}, never heard of it before",
        "{who} mentioned you and I was curious what this is",
        "no idea what {box} is but {dish} looked nice on {place}",
        "first time here, only looking around",
        "came across you through {place}, what do you people do",
        "interesting, did not know such boxes existed until {place}",
        "looked at {dish} on {place}, not sure it is for me",
    ),
    CONSIDERING: (
        "comparing {box} with what we pay at the supermarket",
        "torn between {box} and cooking it all myself, {topic} is what worries me",
        "we might start with {box} {when} if {topic} works out",
        "talked it over with {who}, {box} is on the shortlist",
        "read all about {topic}, now thinking about {box}",
        "had {box} in the basket twice, still deciding",
        "{who} says {box} is worth the money, I am still weighing it up",
    ),
    CONVERTED: (
        "our first {dish} came today, set up went fine",
        "my order of {box} arrived, {topic} was as promised",
        "account works, changed the address for {when}",
        "cooked {dish} from {box} yesterday, kids ate it all",
        "delivery was on time again, we have {dish} tonight",
        "swapped {dish} for next time in my account",
        "second crate of {box} is in the fridge",
    ),
    ADVOCATE: (
        "told {who} about {box}, they love it too",
        "best thing we did this year, {who} is getting {box} as well",
        "cannot stop talking about {dish}, everybody should try it",
        "gave {who} my code, hope they enjoy {box} as much as we do",
        "happy to recommend {box} to anyone, {topic} is just great",
        "made {dish} for {who} and they signed up on the spot",
        "still in love with {box} after all this time",
    ),
}
_ASKED: Final = {
    AWARE: (
        "what exactly is {box}?",
        "do you also exist outside the city?",
        "how does this work, is {box} a subscription?",
        "saw {place}, is that {dish} really from you?",
        "is there somewhere I can read what you do?",
    ),
    CONSIDERING: (
        "how much is {box} for two, and can I cancel after a week?",
        "is there a discount if we start {box} {when}?",
        "what about {topic} if I take {box} instead of the smaller one?",
        "could I get a trial of {box} before I decide?",
        "do you deliver {box} in the evening, {topic} matters to us?",
        "which is better for four people, {box} or two small ones?",
    ),
    CONVERTED: (
        "where do I change the address for {box}?",
        "can I pause my deliveries {when}?",
        "how do I swap {dish} in my order?",
        "my invoice for {box}, where do I find it?",
        "which day will my crate come {when}?",
    ),
    ADVOCATE: (
        "how can I give {who} a code for {box}?",
        "can I post {dish} on my page and tag you?",
        "is there a way to invite {who} {when}?",
        "do you have a programme for people who bring friends?",
    ),
}
_CHATTER: Final = (
    "quick question about {topic}",
    "could someone call me back {when}",
    "ok, will look at it {when}",
    "the page about {topic} does not load on my phone",
    "good morning, is anybody there",
    "thanks for the answer about {topic}",
    "thinking about {dish} today",
    "{dish} again, such weather for it",
    "see you {when}",
    "who is working on the weekend over there",
    "I wrote about {topic} before",
    "yes please",
    "no that is all",
    "got it",
    "hm, not sure I understand the part about {topic}",
    "{who} asked me about {topic}",
)
_QUESTION: Final = (
    "can someone tell me about {topic}?",
    "are you open {when}?",
    "what was the number again?",
    "did you get my message about {topic}?",
    "is {dish} still on the menu?",
    "whom do I ask about {topic}?",
)
_FOREIGN: Final = (
    "👍",
    "😍😍",
    "🍝🍝🍝",
    "🤔",
    "lol 😂",
    "👏👏 {dish}",
    "guten Tag, ich habe eine Frage",
    "danke, alles klar",
    "könnten Sie mir bitte zurückschreiben?",
    "hola, una pregunta",
    "muchas gracias",
    "bonjour, merci pour la réponse",
    "ciao, a presto",
    "dziękuję bardzo",
    "ありがとうございます",
)
_FAREWELL: Final = (
    "not now, maybe {when}",
    "we are too busy for {box} at the moment",
    "please fewer mails about {topic}",
    "have not thought about {box} for ages",
    "no need at present, thanks",
)
_COMPLAINT: Final = (
    "nobody answers me about {topic}",
    "third time I write because of {topic}, this is annoying",
    "you got {topic} wrong again",
    "the app crashed and my choice of {dish} was gone",
    "too many mails, too little about {topic}",
    "not happy with how you handled {topic}",
)
_REVIEW: Final = (
    "{dish} was lovely, {topic} could be better",
    "four stars, {box} is good value",
    "solid food, {topic} as described",
    "{box}: fresh, quick, and {who} liked it",
    "fine on the whole, {dish} a bit bland",
)
_REPLY: Final = (
    "Thank you for writing. We will look into {topic} and come back to you.",
    "Good to hear from you! You will find everything about {topic} on our help page.",
    "Of course. {box} can be changed at any time, just tell us.",
    "We are sorry about that. A colleague will call you {when}.",
    "Is there anything else we can do for you?",
    "Happy to help. Have you seen {dish} on the new menu?",
)
_OPENERS: Final = ("", "", "", "", "Hi, ", "Hello, ", "hey ", "Hi there, ", "so ", "well, ", "ok ", "Dear team, ")
_CLOSERS: Final = ("", "", "", "", " Thanks!", " thx", " …", " Best wishes", " :)", " !!")


def _fill(template: str) -> list[str]:
    """Every sentence a template can make."""
    named = re.findall(r"{(\w+)}", template)
    return [template.format(**dict(zip(named, words, strict=True))) for words in product(*(_SLOTS[n] for n in named))]


def _misspell(sentence: str) -> str:
    """The longest word without its second letter."""
    word = max(re.findall(r"\w+", sentence) or [""], key=len)
    return sentence.replace(word, word[:1] + word[2:], 1)


_GENERAL: Final = (_CHATTER, _QUESTION, _FOREIGN, _FAREWELL, _COMPLAINT, _REVIEW, _REPLY)
_SAID_POOL, _ASKED_POOL = 0, DORMANT  # plus the stage
_CHATTER_POOL, _QUESTION_POOL, _FOREIGN_POOL, _FAREWELL_POOL, _COMPLAINT_POOL, _REVIEW_POOL, _REPLY_POOL = range(
    2 * DORMANT, 2 * DORMANT + len(_GENERAL)
)
_POOLS: Final = [*_SAID.values(), *_ASKED.values(), *_GENERAL]
_TEMPLATES: Final = [template for pool in _POOLS for template in pool]
_FILLED: Final = [_fill(template) for template in _TEMPLATES]
_SENTENCES: Final = [sentence for filled in _FILLED for sentence in filled]
_MISSPELT: Final = [_misspell(sentence) for sentence in _SENTENCES]
_POOL_SIZE: Final = np.array([len(pool) for pool in _POOLS])
_POOL_START: Final = np.cumsum(_POOL_SIZE) - _POOL_SIZE
_TEMPLATE_SIZE: Final = np.array([len(filled) for filled in _FILLED])
_TEMPLATE_START: Final = np.cumsum(_TEMPLATE_SIZE) - _TEMPLATE_SIZE


def compose(action: NDArray[np.object_], state: Ints, difficulty: float, rng: np.random.Generator) -> pl.Series:
    """Words for messages of the actions posted, asked, chatted, complained, reviewed, referred and replied.

    `state` is the customer's latent state at that moment (stage, plus `DORMANT` while asleep). Returns one string each.
    """
    pool = _choose_pool(action, state, difficulty, rng)
    template = _POOL_START[pool] + _below(_POOL_SIZE[pool], rng)
    sentence = _TEMPLATE_START[template] + _below(_TEMPLATE_SIZE[template], rng)
    by_customer = action != "replied"
    misspelt = by_customer & (rng.random(len(pool)) < TYPO_SHARE)
    sentence = np.where(misspelt, sentence + len(_SENTENCES), sentence)
    opener = np.where(by_customer, rng.integers(0, len(_OPENERS), len(pool)), 0)
    closer = np.where(by_customer, rng.integers(0, len(_CLOSERS), len(pool)), 0)
    middle = pl.Series([*_SENTENCES, *_MISSPELT]).gather(sentence)
    return pl.Series(_OPENERS).gather(opener) + middle + pl.Series(_CLOSERS).gather(closer)


def _choose_pool(action: NDArray[np.object_], state: Ints, difficulty: float, rng: np.random.Generator) -> Ints:
    at_zero, added = STAGELESS_SHARE
    stageless = rng.random(len(state)) < at_zero + added * difficulty
    foreign = rng.random(len(state)) < FOREIGN_SHARE
    stray = np.where(rng.random(len(state)) < STRAY_SHARE, rng.choice([-1, 1], len(state)), 0)
    stage = np.clip(state % DORMANT + stray, 0, DORMANT - 1)
    asked, asleep = action == "asked", state >= DORMANT
    worded = np.where(asked, _ASKED_POOL + stage, np.where(asleep, _FAREWELL_POOL, _SAID_POOL + stage))
    empty = np.where(foreign, _FOREIGN_POOL, np.where(asked, _QUESTION_POOL, _CHATTER_POOL))
    pool = np.where(stageless, empty, worded)
    for name, fixed in (("complained", _COMPLAINT_POOL), ("reviewed", _REVIEW_POOL), ("replied", _REPLY_POOL)):
        pool = np.where(action == name, fixed, pool)
    return pool


def _below(limit: Ints, rng: np.random.Generator) -> Ints:
    """A random whole number from 0 up to each limit, the limit left out."""
    return (rng.random(len(limit)) * limit).astype(np.int64)
