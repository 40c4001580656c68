"""The card policy in force: the site's file where one is configured, else the shipped one."""

import importlib.resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from schemas.card_policy import CardPolicy
from schemas.errors import NotConfigured
from schemas.record import problems_of

MAX_BYTES = 2 * 2**20


def card_policy(path: Path | None) -> CardPolicy:
    """The policy at `path`, the shipped one where it is None. Raises NotConfigured naming every wrong place."""
    if path is None:
        raw = importlib.resources.files("schemas").joinpath("card_policy.yaml").read_bytes()
    else:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise NotConfigured(f"cds.policy_file cannot be read: {error.strerror}; check the path") from error
    if len(raw) > MAX_BYTES:
        raise NotConfigured(f"cds.policy_file is larger than {MAX_BYTES} bytes; is it a card policy?")
    try:
        document = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
        return CardPolicy.model_validate(document)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NotConfigured("cds.policy_file is not valid YAML; correct the file") from error
    except ValidationError as error:
        places = "; ".join(f"{path_}: {text}" for path_, text in problems_of(error)[:10])
        raise NotConfigured(f"the card policy is not right: {places}") from error
