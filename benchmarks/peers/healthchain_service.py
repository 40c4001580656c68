"""HealthChain's CDS Hooks server with a service that answers one fixed card. Run by the Python of its own venv.

VENV/bin/python benchmarks/peers/healthchain_service.py PORT
"""

import sys

import uvicorn
from healthchain.gateway import CDSHooksService, HealthChainAPI
from healthchain.models import Card, CDSRequest, CDSResponse

app = HealthChainAPI()
cds = CDSHooksService()


@cds.hook("patient-view", id="trivial")
def answer(request: CDSRequest) -> CDSResponse:
    """One card, whatever is asked."""
    assert request.hook == "patient-view"
    card = Card(
        summary="A fixed card", indicator="info", source={"label": "peer"}, detail="Nothing is read or computed."
    )
    return CDSResponse(cards=[card])


app.register_service(cds, path="/cds")

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
