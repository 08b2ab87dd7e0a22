"""A page on this machine that shows an avatar from all around: `talkingface view`.

`turns` decides who draws next, `shots` reads what a page asks for, `server` answers, `page/` is what browsers load.
"""

from talkingface.apps.viewer.server import ViewServer, view

__all__ = ["ViewServer", "view"]
