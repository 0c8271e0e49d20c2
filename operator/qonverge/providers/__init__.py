"""What providers say of themselves: read by the API's checks, by placement and by the engine Automatic. Pure."""
