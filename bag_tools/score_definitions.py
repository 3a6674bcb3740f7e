"""How the figures of score.json are told to people: label, unit, which way is better, definition. Source: METRICS."""

from dataclasses import dataclass

from bag_tools.metrics import HORIZONS_S


@dataclass(frozen=True, kw_only=True)
class Definition:
    """key: of score.json; better: 'less', 'more' or '' where neither is."""

    key: str
    label: str
    text: str
    unit: str = ""
    better: str = "less"

    @property
    def digits(self) -> int:
        """Decimals that are worth printing."""
        return {"0–100": 1, "rad": 4}.get(self.unit, 2)


_SCORE = (
    "100 × mean over frames, then over the tags straight, turn, stop, start, follow with equal weight, of 0.35·e^(−lateral error/0.5) "
    "+ 0.25·e^(−speed error/1.0) + 0.25·e^(−FDE@3/2.0) + 0.15·e^(−(lateral + longitudinal control error)/2). Tags by what the human does "
    "within 4 s: stop, from at least 1 to below 0.5 m/s; start, the reverse; turn, the heading changes by more than 15°; straight, none of "
    "these; follow needs the distance to a lead vehicle."
)
_HORIZONS = [round(horizon_s) for horizon_s in HORIZONS_S]

DEFINITIONS = (
    Definition(key="human_score", label="Human score", unit="0–100", better="more", text=_SCORE),
    Definition(
        key="expert_score", label="Expert score", unit="0–100", better="more", text=f"The human score with a simulated driver as the standard: {_SCORE}"
    ),
    Definition(key="steering_wheel_rmse_rad", label="Steering wheel RMSE", unit="rad", text="Root of the mean squared difference of the steering wheel angle."),
    *(
        Definition(key=f"ade_{h}s_m", label=f"ADE@{h} s", unit="m", text=f"Mean over t = 0.2 … {h} s of the distance between planned and driven position.")
        for h in _HORIZONS
    ),
    *(Definition(key=f"fde_{h}s_m", label=f"FDE@{h} s", unit="m", text=f"Distance between planned and driven position at t = {h} s.") for h in _HORIZONS),
    Definition(
        key="lateral_error_m",
        label="Lateral error",
        unit="m",
        text="Mean distance between the two lines at equal arc length s = 1, 2 … S m, S being the human's 4 s distance; a station that the "
        "plan does not reach costs 2 m; S < 2 m is not scored.",
    ),
    Definition(key="speed_error_mps", label="Speed error", unit="m/s", text="Mean over t ≤ 4 s of |v − v*|."),
    Definition(key="lateral_control_error_mps2", label="Control error, lateral", unit="m/s²", text="Mean over t ≤ 4 s of |κ − κ*|·max(v*, 3)²."),
    Definition(key="longitudinal_control_error_mps2", label="Control error, longitudinal", unit="m/s²", text="Mean over t ≤ 4 s of |a − a*|."),
    Definition(
        key="onset_precision",
        label="Onsets, precision",
        better="more",
        text="Onsets of braking and accelerating (|a| through 1.0 m/s², kept 0.4 s, after 1 s below 0.5): share of the planner's that match "
        "a human one of the same sign one to one, within −2 … +1.5 s, from plans made before the human's onset.",
    ),
    Definition(key="onset_recall", label="Onsets, recall", better="more", text="Share of the human's onsets that the planner's match, as above."),
    Definition(
        key="onset_median_lead_s",
        label="Onsets, median lead",
        unit="s",
        better="",
        text="Median over matched onsets of the human's time − the planner's; positive: the planner is earlier.",
    ),
    Definition(
        key="flicker_per_min",
        label="Flicker",
        unit="1/min",
        text="In a fixed frame, the position planned for one absolute time moves by more than 0.5 m (or the speed by 2 m/s), and back by "
        "more than that within 1.5 s; events per minute.",
    ),
    Definition(key="flicker_clip_share", label="Clips with flicker", text="Share of the clips with any flicker."),
    Definition(key="plan_continuity_m", label="Plan continuity", unit="m", text="RMS distance between consecutive plans at the same absolute time."),
    Definition(
        key="min_ade_4s_m", label="minADE@4 s over K", unit="m", text="ADE@4 of the best of the policy's alternatives. It is not what drives: printed apart."
    ),
)
