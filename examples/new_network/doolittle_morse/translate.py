"""The wire of morse/1, pure: a line `station text`, its text by dots and dashes where there are letters for it."""

from adapters.spi import Address, Agent, Tool
from registry.model import schema

CODE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz0123456789",
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
            "-----",
            ".----",
            "..---",
            "...--",
            "....-",
            ".....",
            "-....",
            "--...",
            "---..",
            "----.",
        ],
        strict=True,
    )
)
LETTER = {code: letter for letter, code in CODE.items()}
SAY = schema(
    {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": False}
)


def encode(text: str) -> str:
    """Letters by blanks; what has no code goes as `#` and its number."""
    return " ".join(CODE.get(letter, f"#{ord(letter)}") for letter in text)


def decode(line: str) -> str:
    """Raises `ValueError` for what `encode` does not make."""
    return "".join(LETTER[sign] if sign in LETTER else _numbered(sign) for sign in line.split())


def _numbered(sign: str) -> str:
    number = sign[1:]
    if not (sign.startswith("#") and number.isdecimal() and len(number) <= 7):
        raise ValueError(f"no letter is '{sign[:20]}'")
    return chr(int(number))


def agent(station: str, upstream: str) -> Agent:
    """A station with its one tool."""
    return Agent(
        Address("morse", upstream, station), station, f"The station {station}.", (Tool("say", "Repeats a text.", SAY),)
    )
