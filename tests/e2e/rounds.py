"""What rounds of harm share: kill_rounds.py and failure_rounds.py."""
import thinwire


class Failed(Exception):
    """A guarantee did not hold."""


def require(holds, message, text=""):
    if not holds:
        raise Failed(f"{message}\n{thinwire.shortened(text)}")


def furnish(folder, config):
    """Words to train on, and small.yaml."""
    (folder / "words.txt").write_text(thinwire.english_like(), encoding="ascii")
    (folder / "small.yaml").write_text(config, encoding="ascii")
