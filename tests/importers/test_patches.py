"""Diffs as changes of files."""

from otel_traj import semconv
from otel_traj.importers.patches import file_changes

PLAIN = """--- a/one.py
+++ b/one.py
@@ -1,2 +1,3 @@ def f():
 x = 1
-y = 2
+y = 3
+z = 4
--- a/old.py
+++ /dev/null
@@ -1 +0,0 @@
-gone = True
"""

RENAMED = """diff --git a/old name.py b/new.py
similarity index 100%
rename from old name.py
rename to new.py
diff --git a/logo.png b/logo.png
index 1..2 100644
Binary files a/logo.png and b/logo.png differ
"""


def told(patch: str) -> list[tuple[object, ...]]:
    keys = (semconv.FILE_PATH, semconv.FILE_OLD_PATH, semconv.FILE_ADDED, semconv.FILE_REMOVED)
    return [tuple(map(change.get, keys)) for change in file_changes(patch)]


def test_a_plain_diff_of_several_files_is_a_change_of_each() -> None:
    assert told(PLAIN) == [("one.py", None, 2, 1), ("old.py", None, 0, 1)]


def test_renames_and_binary_files_are_told_without_lines() -> None:
    assert told(RENAMED) == [("new.py", "old name.py", 0, 0), ("logo.png", None, 0, 0)]
    assert [change[semconv.FILE_BINARY] for change in file_changes(RENAMED)] == [False, True]


def test_each_change_has_its_part_of_the_diff() -> None:
    parts = [change[semconv.FILE_DIFF] for change in file_changes(PLAIN)]

    assert "".join(parts) == PLAIN


def test_a_text_that_is_no_diff_changes_nothing() -> None:
    assert told("I changed nothing.") == []
    assert told("") == []
