"""What names, addresses and users look like in a log, and where they stand. Data only, for `pseudonyms.py`.

Those of USERS and NAMED_HOST may go on in a next line; what the first line of each has tells where to try it.
"""

from __future__ import annotations

import re

IPV4 = re.compile(rb"(?<![\w.])(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?![\w]|\.\d)(?:(/)(\d{1,2})(?!\d))?")
COLONS = re.compile(rb"(?<![\w:.])(?=[0-9A-Fa-f]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{2,39}(?![\w:])")
MAC_HYPHENS = re.compile(rb"(?<![\w-])[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}(?![\w-])")
DOTTED = re.compile(rb"(?<![\w.%-])(://|@|=|//)?([A-Za-z0-9_](?:[\w-]{0,62})(?:\.[\w-]{1,63})+)(?![\w-])")
URL_HOST = re.compile(rb"(?<=://)([A-Za-z][\w-]*)(?=[:/\s\"',)]|$)")
DASHED = re.compile(r"(?<!\d)(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})(?!\d)")

_USER = r"[A-Za-z_][\w.$+-]*"
_DOMAIN = r"(?:[\w.-]+\\{1,2})?"
USERS = tuple(
    re.compile(pattern.encode(), re.IGNORECASE)
    for pattern in (
        rf"(/home/)({_USER})",
        rf"(\b(?:user(?:_?name)?|account|principal|logname|ruser|sudo_user|owner)\\*[\"']?\s?[:=]\s?\\*[\"']?{_DOMAIN})({_USER})",
        rf"(\b(?:login|uname)(?:=|\\*[\"']\s?:\s?)\\*[\"']?{_DOMAIN})({_USER})",
        rf"(\buser\s\\*[\"']{_DOMAIN})({_USER})",
        rf"(\b(?:invalid|for|by|of|from) user\s{_DOMAIN})({_USER})",
        rf"(\b(?:accepted|failed) \w+ for (?:invalid user )?)({_USER})(?= from)",
        rf"(\bsudo(?:\[\d+\])?:\s+)({_USER})(?= : )",
        rf"((?-i:\b[A-Z][A-Z0-9.-]{{1,30}})\\{{1,2}})({_USER})",
        rf"(?<![\w@/.+-])()({_USER})(?=@[A-Za-z][\w-]*(?:\.[\w-]+)+)",
    )
)
USERS_HAVE = (
    rb"/home/",
    rb"(?:user(?:_?name)?|account|principal|logname|owner)\\*[\"']?[\s:=]",
    rb"(?:login|uname)(?:=|\\*[\"'][\s:])",
    rb"user(?:[^\S\n]\\*[\"']|\n)",
    rb"(?:invalid|for|by|of|from) user\s",
    rb"(?:accepted|failed) \w+ for ",
    rb"sudo(?:\[\d+\])?:\s",
    rb"[A-Z0-9.-]\\",
    rb"[\w.$+-]@[A-Z]",
)
"""what the first line of each one's match has, in any case of letters"""
NAMED_HOST = re.compile(rb"(?:[Ss]et hostname to|[Hh]ostname set to|\bhostname[\"']?\s?[:=]\s?)[\s<\"']*([\w.-]+)")
NAMED_HOST_HAS = rb"hostname"
LOGGING_HOST = re.compile(
    rb"^(?:(?:<\d+>)?[A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d+)?"
    rb"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d))"
    rb" ([\w.-]+) [\w./@+-]+?(?:\[\d+\])?: ",
    re.M,
)
"""where a name without dots is certain to be a machine's"""
WORD = re.compile(rb"(?<![\w])[A-Za-z][\w]*(?:[-.][\w]+)*")
