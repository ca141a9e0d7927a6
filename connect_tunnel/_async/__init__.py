"""The shell for event loops: asyncio, uvloop and trio, through anyio."""
