"""A service that FastAPI describes: `python service.py PORT`. It knows the weather of places, and nothing of agents."""

import sys
from typing import Annotated

import uvicorn
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel

app = FastAPI(title="Weather", version="1.0", description="The weather of places.")
SKIES = {"spain": "rain, mainly in the plain", "london": "fog"}


class Forecast(BaseModel):
    place: str
    days: int
    sky: str


@app.get("/places/{place}/forecast", operation_id="forecast")
async def forecast(place: str, days: Annotated[int, Query(ge=1, le=7)] = 1) -> Forecast:
    """What the sky will be like."""
    if place.lower() not in SKIES:
        raise HTTPException(404, f"nobody has been to {place}")
    return Forecast(place=place, days=days, sky=SKIES[place.lower()])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
