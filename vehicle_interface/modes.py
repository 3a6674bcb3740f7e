"""Who drives: the modes of the vehicle interface as a transition table in data.

| mode | what is published |
|---|---|
| disengaged | nothing |
| engaged | the plan, through the envelope |
| driver_override | nothing: the driver has the wheel and the pedals |
| minimal_risk_stop | a stop along the last good plan, then standstill |
| emergency_stop | a hard stop along the last good plan, then standstill; latched until reset |
"""

from collections.abc import Mapping

DISENGAGED, ENGAGED, DRIVER_OVERRIDE = "disengaged", "engaged", "driver_override"
MINIMAL_RISK_STOP, EMERGENCY_STOP = "minimal_risk_stop", "emergency_stop"
MODES = (DISENGAGED, ENGAGED, DRIVER_OVERRIDE, MINIMAL_RISK_STOP, EMERGENCY_STOP)
COMMANDING = (ENGAGED, MINIMAL_RISK_STOP, EMERGENCY_STOP)  # in which commands are published

ENGAGE, DISENGAGE, OVERRIDE_BEGIN, OVERRIDE_END = "engage", "disengage", "override_begin", "override_end"
FAULT, EMERGENCY, RESET = "fault", "emergency", "reset"
EVENTS = (ENGAGE, DISENGAGE, OVERRIDE_BEGIN, OVERRIDE_END, FAULT, EMERGENCY, RESET)

# Every pair is written down, so that nothing happens by default. An override ends in disengaged: only a new engage
# gives the vehicle back. A driver can always take over; nothing but a reset leaves an emergency stop otherwise.
TRANSITIONS: Mapping[tuple[str, str], str] = {
    (DISENGAGED, ENGAGE): ENGAGED,
    (DISENGAGED, DISENGAGE): DISENGAGED,
    (DISENGAGED, OVERRIDE_BEGIN): DRIVER_OVERRIDE,
    (DISENGAGED, OVERRIDE_END): DISENGAGED,
    (DISENGAGED, FAULT): DISENGAGED,
    (DISENGAGED, EMERGENCY): EMERGENCY_STOP,
    (DISENGAGED, RESET): DISENGAGED,
    (ENGAGED, ENGAGE): ENGAGED,
    (ENGAGED, DISENGAGE): DISENGAGED,
    (ENGAGED, OVERRIDE_BEGIN): DRIVER_OVERRIDE,
    (ENGAGED, OVERRIDE_END): ENGAGED,
    (ENGAGED, FAULT): MINIMAL_RISK_STOP,
    (ENGAGED, EMERGENCY): EMERGENCY_STOP,
    (ENGAGED, RESET): ENGAGED,
    (DRIVER_OVERRIDE, ENGAGE): DRIVER_OVERRIDE,
    (DRIVER_OVERRIDE, DISENGAGE): DRIVER_OVERRIDE,
    (DRIVER_OVERRIDE, OVERRIDE_BEGIN): DRIVER_OVERRIDE,
    (DRIVER_OVERRIDE, OVERRIDE_END): DISENGAGED,
    (DRIVER_OVERRIDE, FAULT): DRIVER_OVERRIDE,
    (DRIVER_OVERRIDE, EMERGENCY): DRIVER_OVERRIDE,
    (DRIVER_OVERRIDE, RESET): DRIVER_OVERRIDE,
    (MINIMAL_RISK_STOP, ENGAGE): ENGAGED,
    (MINIMAL_RISK_STOP, DISENGAGE): DISENGAGED,
    (MINIMAL_RISK_STOP, OVERRIDE_BEGIN): DRIVER_OVERRIDE,
    (MINIMAL_RISK_STOP, OVERRIDE_END): MINIMAL_RISK_STOP,
    (MINIMAL_RISK_STOP, FAULT): MINIMAL_RISK_STOP,
    (MINIMAL_RISK_STOP, EMERGENCY): EMERGENCY_STOP,
    (MINIMAL_RISK_STOP, RESET): MINIMAL_RISK_STOP,
    (EMERGENCY_STOP, ENGAGE): EMERGENCY_STOP,
    (EMERGENCY_STOP, DISENGAGE): EMERGENCY_STOP,
    (EMERGENCY_STOP, OVERRIDE_BEGIN): DRIVER_OVERRIDE,
    (EMERGENCY_STOP, OVERRIDE_END): EMERGENCY_STOP,
    (EMERGENCY_STOP, FAULT): EMERGENCY_STOP,
    (EMERGENCY_STOP, EMERGENCY): EMERGENCY_STOP,
    (EMERGENCY_STOP, RESET): DISENGAGED,
}


def next_mode(mode: str, event: str) -> str:
    """The mode after an event; both must be known (KeyError: a defect of the caller)."""
    return TRANSITIONS[mode, event]
