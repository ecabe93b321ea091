"""Phrases of the conversation: which ones many customers' conversations hold, and how often each row's messages do."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count, pairwise
from typing import NamedTuple

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.conversation_turns import RECENT_MESSAGES
from features.event_log import DAY_US, Bools, EventLog, Floats, Int32s, Int64s, is_known
from features.vocabulary import RARE_CUSTOMERS, RARE_SHARE

MOST_KNOWN = 20_000  # texts whose phrases are remembered
MOST_CHARACTERS = 20_000  # of a message: what comes after is a pasted document
MOST_PHRASES = 5_000
USUAL_LENGTH = 25.0  # of a view's vector: a view as long gets unit length
LATELY_US = 60 * DAY_US
VIEWS = ("own messages", "last own messages", "own messages lately", "messages by the company")
N_VIEWS = len(VIEWS)
OWN, LAST, LATELY, BY_COMPANY = range(N_VIEWS)
_WORD = re.compile(r"\w+|[?!]")
_GAP = ""  # between two messages; no word is empty
_NO_CODES = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Phrases:
    """The phrases that count, sorted, and for each ln((1 + customers) / (1 + customers who hold it)) + 1."""

    names: tuple[str, ...]
    inverse_frequency: Floats

    @cached_property
    def code(self) -> dict[str, int]:
        """Where each phrase stands in `names`."""
        return {name: code for code, name in enumerate(self.names)}

    def codes(self, text: str) -> Int32s:
        """The phrases of a text that count, as often as they come; of the texts last asked about, remembered."""
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()  # no text is kept
        known = self._known.get(key)
        if known is None:
            found = [self.code[phrase] for phrase in phrases_of(text) if phrase in self.code]
            known = np.array(found, dtype=np.int32)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = known
        return known

    @cached_property
    def _known(self) -> dict[bytes, Int32s]:
        return {}


@dataclass(frozen=True, eq=False)
class PhraseRows:
    """How much each row's messages hold of each phrase, as a sparse matrix (CSR) of shape (rows, views * phrases).

    Row `i` has the entries `offsets[i]:offsets[i + 1]`, by rising `column` = view * phrases + phrase, where the view
    counts from 0 in `VIEWS`.
    """

    offsets: Int64s
    column: Int32s
    value: Float32s
    width: int

    def __len__(self) -> int:
        return len(self.offsets) - 1


class ViewedPhrases(NamedTuple):
    """The messages that rows read, cut into the phrases that count, before those are counted.

    Text `i` of the log holds `codes[cuts[i]:cuts[i + 1]]`, each as often as it is said; nothing where no row reads it.
    The others are the log's columns, `unread` those of its touchpoints that no row may read, and the rows themselves.
    """

    cuts: Int64s
    codes: Int32s
    offsets: Int64s
    occurred_us: Int64s
    known_us: Int64s
    is_company: Bools
    text: Int32s
    unread: Bools
    customer: Int64s
    as_of_us: Int64s


def phrases_of(text: str) -> list[str]:
    """The words, question and exclamation marks of a text in lower case, then each pair of neighbours among them.

    Only the first 20,000 characters are read.
    """
    words = _words(text)
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def learn_phrases(log: EventLog, usable: Bools) -> Phrases:
    """Learn which phrases count from the messages marked `usable`: those that some training row may know.

    A phrase counts where the messages of at least 0.5 % of the customers with messages (at least 10) hold it, by
    whichever side; so no bundle keeps what few people's conversations hold. Of these the 5,000 most widespread are
    kept, ties by name.
    """
    code_of: defaultdict[str, int] = defaultdict(count(1).__next__, {_GAP: 0})
    said = [_word_codes(texts, code_of) for texts in _texts_by_customer(log, usable)]
    customers, words = len(said), list(code_of)
    least = max(RARE_CUSTOMERS, int(RARE_SHARE * customers))
    singles = dict(zip(*_widespread(said, least), strict=True))
    singles.pop(0, None)
    pairs = zip(*_widespread([_pairs(codes, singles, len(words)) for codes in said], least), strict=True)
    held_by = {words[code]: held for code, held in singles.items()}
    held_by |= {f"{words[pair // len(words)]} {words[pair % len(words)]}": held for pair, held in pairs}
    names = sorted(sorted(held_by, key=lambda name: (-held_by[name], name))[:MOST_PHRASES])
    holding = np.array([held_by[name] for name in names], dtype=np.float64)
    return Phrases(tuple(names), np.log((1 + customers) / (1 + holding)) + 1)


def phrase_rows(viewed: ViewedPhrases, phrases: Phrases) -> PhraseRows:
    """Weigh the phrases of each row's messages, view by view: (1 + ln count) * inverse frequency, scaled.

    The views are all own messages, the last 3 of them, those of the 60 days before as_of, and the company's messages. A
    view's vector keeps the square root of its length: unit length, as in Salton and Buckley, "Term-weighting approaches
    in automatic text retrieval" (1988), would drown one telling phrase in all that a talkative customer says, and take
    a word from a silent one for as much evidence as a long talk (docs/adr/0026).
    """
    offsets = np.zeros(len(viewed.customer) + 1, dtype=np.int64)
    _measure(viewed, len(phrases.names), offsets[1:])
    np.cumsum(offsets, out=offsets)
    column, value = np.empty(offsets[-1], dtype=np.int32), np.empty(offsets[-1], dtype=np.float32)
    _weigh(viewed, phrases.inverse_frequency, offsets, column, value)
    return PhraseRows(offsets, column, value, len(VIEWS) * len(phrases.names))


def view_phrases(log: EventLog, unread: Bools, customer: Int64s, as_of_us: Int64s, phrases: Phrases) -> ViewedPhrases:
    """Cut the messages that some row reads into the phrases that count, each different text once.

    The rows are customers (-1: not in the log) at their as_of; touchpoints marked `unread` are read by none.
    """
    read = np.zeros(len(log), dtype=np.bool_)
    _mark_read(log.offsets, log.known_us, unread | (log.text < 0), customer, as_of_us, read)
    cut = [_NO_CODES] * len(log.texts)
    for text in np.unique(log.text[read]):
        cut[text] = phrases.codes(log.texts[text])
    cuts = np.concatenate([[0], np.cumsum([len(codes) for codes in cut])]).astype(np.int64)
    return ViewedPhrases(
        cuts, np.concatenate([_NO_CODES, *cut]), log.offsets, log.occurred_us, log.known_us, log.is_company,
        log.text, unread, customer, as_of_us,
    )  # fmt: skip


def _words(text: str) -> list[str]:
    return _WORD.findall(text[:MOST_CHARACTERS].lower())


def _texts_by_customer(log: EventLog, usable: Bools) -> Iterator[list[str]]:
    """The usable messages of each customer who has any."""
    usable = usable & (log.text >= 0)
    for start, stop in zip(log.offsets[:-1], log.offsets[1:], strict=True):
        texts = log.text[start:stop][usable[start:stop]]
        if len(texts):
            yield [log.texts[text] for text in texts]


def _word_codes(texts: Iterable[str], code_of: defaultdict[str, int]) -> Int64s:
    """The words of some messages, with a gap after each message; `code_of` gives new words new codes."""
    words = chain.from_iterable((*_words(text), _GAP) for text in texts)
    return np.fromiter(map(code_of.__getitem__, words), dtype=np.int64)


def _pairs(codes: Int64s, widespread: dict[int, int], n_words: int) -> Int64s:
    """One code for each pair of neighbours that are both widespread: no other pair can be."""
    wide = np.zeros(n_words, dtype=np.bool_)
    wide[list(widespread)] = True
    both = wide[codes[:-1]] & wide[codes[1:]]
    return codes[:-1][both] * n_words + codes[1:][both]


def _widespread(said: list[Int64s], least: int) -> tuple[list[int], list[int]]:
    """The codes that at least so many customers have said, and how many have."""
    shown = np.concatenate([np.zeros(0, dtype=np.int64), *(np.unique(codes) for codes in said)])
    codes, customers = np.unique(shown, return_counts=True)
    wide = customers >= least
    return codes[wide].tolist(), customers[wide].tolist()


@njit(cache=True, nogil=True)
def _mark_read(offsets, known_us, unread, customer, as_of_us, read):  # type: ignore[no-untyped-def]
    for row in range(len(customer)):
        if customer[row] >= 0:
            for event in range(offsets[customer[row]], offsets[customer[row] + 1]):
                if not unread[event] and is_known(known_us[event], as_of_us[row]):
                    read[event] = True


@njit(cache=True, nogil=True)
def messages_in_view(viewed, view, row, events):  # type: ignore[no-untyped-def]
    """Fill `events` with the messages of one view of one row, newest first; returns how many there are."""
    count = 0
    customer, now = viewed.customer[row], viewed.as_of_us[row]
    if customer < 0:
        return count
    for event in range(viewed.offsets[customer + 1] - 1, viewed.offsets[customer] - 1, -1):
        if viewed.text[event] < 0 or viewed.unread[event] or not is_known(viewed.known_us[event], now):
            continue
        if viewed.is_company[event] != (view == BY_COMPANY):
            continue
        if view == LATELY and now - viewed.occurred_us[event] >= LATELY_US:
            break
        events[count] = event
        count += 1
        if view == LAST and count == RECENT_MESSAGES:
            break
    return count


@njit(cache=True, nogil=True)
def most_messages(viewed):  # type: ignore[no-untyped-def]
    """No view of any row has more messages."""
    most = 0
    for customer in viewed.customer:
        if customer >= 0:
            most = max(most, viewed.offsets[customer + 1] - viewed.offsets[customer])
    return most


@njit(cache=True, nogil=True)
def tally(viewed, events, counts, seen):  # type: ignore[no-untyped-def]
    """Count the phrases of some messages in `counts`, zero before; returns how many, listed first in `seen`."""
    different = 0
    for event in events:
        text = viewed.text[event]
        for at in range(viewed.cuts[text], viewed.cuts[text + 1]):
            code = viewed.codes[at]
            if counts[code] == 0:
                seen[different] = code
                different += 1
            counts[code] += 1
    return different


@njit(cache=True, nogil=True)
def _measure(viewed, n_phrases, lengths):  # type: ignore[no-untyped-def]
    counts, seen = np.zeros(n_phrases, np.int64), np.empty(n_phrases, np.int32)
    events = np.empty(most_messages(viewed), np.int64)
    for row in range(len(lengths)):
        for view in range(N_VIEWS):
            different = tally(viewed, events[: messages_in_view(viewed, view, row, events)], counts, seen)
            lengths[row] += different
            counts[seen[:different]] = 0


@njit(cache=True, nogil=True)
def _weigh(viewed, inverse_frequency, starts, column, value):  # type: ignore[no-untyped-def]
    n_phrases = len(inverse_frequency)
    counts, seen = np.zeros(n_phrases, np.int64), np.empty(n_phrases, np.int32)
    events, weights = np.empty(most_messages(viewed), np.int64), np.empty(n_phrases)
    for row in range(len(starts) - 1):
        at = starts[row]
        for view in range(N_VIEWS):
            different = tally(viewed, events[: messages_in_view(viewed, view, row, events)], counts, seen)
            squares = 0.0
            for i, code in enumerate(np.sort(seen[:different])):  # in one order, so that sums round alike
                weights[i] = (1 + np.log(counts[code])) * inverse_frequency[code]
                squares += weights[i] ** 2
                column[at + i] = view * n_phrases + code
                counts[code] = 0
            for i in range(different):
                value[at + i] = weights[i] / np.sqrt(np.sqrt(squares) * USUAL_LENGTH)
            at += different
