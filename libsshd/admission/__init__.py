"""Who may connect: from which addresses, how many at once, how many that have not logged in, and who has to wait."""

from .clients import ClientList
from .gate import Admission, Guest, Limits, Place, Refusal
from .penalties import Outcome, Penalties, PenaltyRules

__all__ = ["Admission", "ClientList", "Guest", "Limits", "Outcome", "Penalties", "PenaltyRules", "Place", "Refusal"]
