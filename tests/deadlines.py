"""How long tests wait for what must happen.

Long, since a busy machine is only slower: a wait ends when the event comes, so a sound test never takes this long.
"""

from __future__ import annotations

DEADLINE_S = 300.0
