"""What became of the tests of a suite."""


class Outcome:
    def __init__(self):
        self.passed = []
        self.skipped = {}  # name: reason
        self.failed = {}   # name: reason

    def add(self, name, status, reason=""):
        if status == "passed":
            self.passed.append(name)
        elif status == "skipped":
            self.skipped[name] = reason
        else:
            self.failed[name] = reason

    def total(self):
        return len(self.passed) + len(self.skipped) + len(self.failed)

    def judge(self, expected):
        """Fails the suite if not exactly the expected number of tests ran."""
        if self.total() != expected:
            self.failed["(all)"] = f"{self.total()} tests ran, and {expected} were expected"

    def good(self):
        return not self.failed and not self.skipped and len(self.passed) > 0

    def report(self, name):
        lines = []
        for test, reason in sorted(self.skipped.items()):
            lines.append(f"SKIPPED {test}: {reason}")
        for test, reason in sorted(self.failed.items()):
            lines.append(f"FAILED {test}")
            lines.extend("    " + line for line in reason.strip().splitlines()[-3:])
        lines.append(f"{name}: {len(self.passed)} of {self.total()} passed, "
                     f"{len(self.failed)} failed, {len(self.skipped)} skipped")
        return "\n".join(lines)
