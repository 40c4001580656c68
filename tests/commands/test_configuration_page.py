"""docs/configuration.md says what the settings say."""

from commands.configuration_page import PAGE, page
from gateways.settings import Settings


def test_the_page_of_settings_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: ./run python -m commands.configuration_page"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
