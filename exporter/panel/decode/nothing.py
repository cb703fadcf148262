"""Texts that say that there are no messages, in the panel's languages and its mail servers' own."""

from __future__ import annotations

import re
import unicodedata

_MAX_TEXT = 200
_TAG = re.compile(r"</?[a-zA-Z][^<>@]{0,200}>")

# `postqueue -p` and mailq; the panel's text of list_msg's code 100; what its page shows.
_NOTHING = re.compile(
    r"(?:your |the )?(?:mail |message )?(?:queue|queue list|list) is empty"
    r"|(?:there are )?no (?:messages|mails?|emails?) in (?:the )?(?:mail )?queue"
    r"|(?:список )?(?:почтов(?:ой|ая) )?(?:очередь|очереди)(?: сообщений)? пуста?"
    r"|(?:в очереди )?нет (?:сообщений|писем)(?: в (?:почтовой )?очереди)?"
    r"|(?:сообщений|писем) в (?:почтовой )?очереди нет"
    r"|(?:список )?(?:поштов(?:ої|а) )?(?:черг[аи])(?: повідомлень)? "
    r"(?:порожн(?:я|ій)|пуст(?:а|ий))"
    r"|(?:[ву] черзі )?немає (?:повідомлень|листів)(?: [ву] (?:поштовій )?черзі)?"
    r"|(?:повідомлень|листів) [ву] (?:поштовій )?черзі немає"
    r"|(?:当前)?(?:邮件|消息)?(?:队列|列表|队列列表)(?:是|为)?空的?"
    r"|(?:当前)?(?:邮件)?(?:队列|队列中|队列里)?(?:没有|无)(?:任何)?(?:邮件|消息|信息)"
)


def says_nothing_there(text: str) -> bool:
    """Whether a text says that the queue holds no message; an empty one says nothing."""
    if len(text) > _MAX_TEXT:
        return False
    plain = unicodedata.normalize("NFKC", _TAG.sub(" ", text)).lower()
    return _NOTHING.fullmatch(" ".join(plain.split()).strip(" .!。")) is not None
