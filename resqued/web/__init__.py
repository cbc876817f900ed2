"""The web front end: pages to watch jobs and to mend what failed.

It needs Redis alone: it imports no application and runs nothing that a payload names.
"""
