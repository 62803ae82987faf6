"""Shows answers: as text for people, as JSON for programs. Nothing is judged here that the engine did not judge."""
