"""Places of items in rankings: what an item gets by its place, and how well an order puts the relevant first.

An item at rank r gets the exposure 1 / log2(1 + r) (Singh and Joachims, KDD 2018, 2219). Items of equal score share what the ranks
that they take up together get, as any order of them is as good; nothing depends on the order of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.assess.labels import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Items with what they get by their place.

    Parameters
    ----------
    query : array of int, shape (n,)
        Codes of the queries.
    exposure : array of float64, shape (n,)
        1 / log2(1 + rank), shared among items of equal score.
    selected : array of float64, shape (n,)
        Share of the item that is among the first k: 1 or 0, or between them where a tie straddles k.
    """

    query: NDArray[np.intp]
    exposure: Floats
    selected: Floats


def place(score: Floats, query: NDArray[np.intp], k: int) -> Placed:
    """Rank the items of every query, the highest score first.

    Parameters
    ----------
    score : array of float64, shape (n,)
        Scores.
    query : array of int, shape (n,)
        Codes of the queries.
    k : int
        How many are selected from each.
    """
    order, first, last, rank = _blocks(score, query)
    gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(1 + rank))])
    chosen = np.concatenate([[0.0], np.cumsum((rank <= k).astype(np.float64))])
    size = last - first
    block = np.repeat(np.arange(len(first)), size)
    exposure, selected = np.empty(len(score)), np.empty(len(score))
    exposure[order] = ((gain[last] - gain[first]) / size)[block]
    selected[order] = ((chosen[last] - chosen[first]) / size)[block]
    return Placed(query=query, exposure=exposure, selected=selected)


def ndcg(score: Floats, relevance: Floats, query: NDArray[np.intp], queries: int) -> Floats:
    """Return the normalised discounted cumulative gain of every query; NaN where nothing is relevant.

    Formula: sum_i rel_i / log2(1 + rank_i) over the same sum in the best order; items of equal score share their discounts, as
    scikit-learn's ``ndcg_score`` has it. Source: Jarvelin and Kekalainen, ACM TOIS 20 (2002) 422. Range 0 to 1.
    """
    best = np.bincount(query, weights=relevance * place(relevance, query, 1).exposure, minlength=queries)
    gained = np.bincount(query, weights=relevance * place(score, query, 1).exposure, minlength=queries)
    found: Floats = np.divide(gained, best, out=np.full(queries, np.nan), where=best > 0)
    return found


def _blocks(
    score: Floats, query: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return rows in order of query and rank, where blocks of equal score begin and end, and each place's rank."""
    order = np.lexsort((-score, query))
    s, q = score[order], query[order]
    new_query = np.append(True, q[1:] != q[:-1])
    new_block = new_query | np.append(True, s[1:] != s[:-1])
    first = np.flatnonzero(new_block)
    starts = np.flatnonzero(new_query)
    rank = np.arange(len(s)) - np.repeat(starts, np.diff(np.append(starts, len(s)))) + 1
    return order, first, np.append(first[1:], len(s)), rank
