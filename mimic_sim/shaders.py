"""The GLSL programs of the renderer. Light is computed in linear colour; `show` turns it into a picture.

What a look has nothing of is left out of its program: a loop over no lamps still costs a tenth of a picture on a CPU.
"""

from mimic_sim.looks import Look
from mimic_sim.night import MAX_BEAMS, MAX_LAMPS
from mimic_sim.textures import LAYER

_COMMON = """
#version 330
uniform vec3 u_eye;
uniform vec3 u_sun_direction;
uniform vec3 u_sun_colour;
uniform vec3 u_sky_colour;
uniform vec3 u_horizon_colour;
uniform float u_cloudiness;
uniform float u_fog_1pm;
uniform float u_exposure;

float hash(vec2 p) {
    vec3 q = fract(vec3(p.xyx) * vec3(0.1031, 0.1030, 0.0973));
    q += dot(q, q.yzx + 33.33);
    return fract((q.x + q.y) * q.z);
}
float noise(vec2 p) {
    vec2 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    return mix(mix(hash(i), hash(i + vec2(1, 0)), f.x), mix(hash(i + vec2(0, 1)), hash(i + vec2(1, 1)), f.x), f.y);
}
// The air near the ground, brighter towards the sun.
vec3 horizon(vec3 direction) {
    float towards = max(dot(direction, u_sun_direction), 0.0);
    return u_horizon_colour + u_sun_colour * 0.25 * (1.0 - u_cloudiness) * pow(towards, 8.0);
}
vec3 sky(vec3 direction) {
    float up = max(direction.z, 0.0);
    return mix(horizon(direction), u_sky_colour, 1.0 - exp(-4.0 * up));
}
vec4 show(vec3 colour) {
    colour = 1.0 - exp(-1.6 * u_exposure * colour);
    return vec4(pow(colour, vec3(1.0 / 2.2)), 1.0);
}
"""

SCENE_VERTEX = """
#version 330
uniform mat4 u_view_projection;
in vec3 in_position;
in vec3 in_normal;
in vec2 in_uv;
in float in_material;
in vec3 in_tint;
out vec3 v_position;
out vec3 v_normal;
out vec3 v_uv;
out vec3 v_tint;
void main() {
    v_position = in_position;
    v_normal = in_normal;
    v_uv = vec3(in_uv, in_material);
    v_tint = in_tint;
    gl_Position = u_view_projection * vec4(in_position, 1.0);
}
"""

_SCENE_FRAGMENT = (
    _COMMON
    + """
uniform sampler2DArray u_surfaces;
uniform sampler2DShadow u_shadow;
uniform mat4 u_shadow_projection;
uniform float u_ambient;
uniform float u_wetness;
uniform float u_lit_windows;
uniform float u_beam;
uniform int u_beam_count;
uniform vec3 u_beam_positions[MAX_BEAMS];
uniform vec3 u_beam_directions[MAX_BEAMS];  // x, y and share of the light
uniform float u_street_lamp;
uniform int u_lamp_count;
uniform vec4 u_lamps[MAX_LAMPS];  // x, y, z and share of the light
in vec3 v_position;
in vec3 v_normal;
in vec3 v_uv;
in vec3 v_tint;
out vec4 f_colour;

float sunlight(vec3 normal) {
#ifdef SHADOWS
    vec4 p = u_shadow_projection * vec4(v_position + normal * 0.12, 1.0);
    vec3 q = p.xyz * 0.5 + 0.5;
    vec2 edge = smoothstep(0.45, 0.5, abs(q.xy - 0.5));
    float inside = (1.0 - edge.x) * (1.0 - edge.y);
    if (inside <= 0.0) return 1.0;
    return mix(1.0, texture(u_shadow, q), inside);
#else
    return 1.0;
#endif
}
void main() {
    vec3 normal = normalize(v_normal);
    vec3 to_point = v_position - u_eye;
    float distance_m = length(to_point);
    vec3 direction = to_point / distance_m;
    vec4 surface = texture(u_surfaces, v_uv);
    vec3 albedo = surface.rgb * v_tint;
    albedo *= albedo;  // textures are painted as they shall look, light is linear
    float material = v_uv.z;
    bool is_ground = material < MATERIAL_GRASS - 0.5 || (abs(material - MATERIAL_PLAIN) < 0.5 && normal.z > 0.9 && v_position.z < 0.5);
    float glass = 1.0 - surface.a;
    float puddle = 0.0;
    if (is_ground) {
        // Broad worn patches, so that no two places of a road look the same.
        albedo *= 0.82 + 0.36 * noise(v_position.xy * 0.35) * (0.6 + 0.4 * noise(v_position.xy * 0.05));
#ifdef WET
        puddle = u_wetness * smoothstep(0.25, 0.75, noise(v_position.xy * 0.23));
        albedo *= 1.0 - 0.45 * u_wetness;
#endif
    } else if (abs(material - MATERIAL_GRASS) < 0.5) {
        albedo *= 0.7 + 0.6 * noise(v_position.xy * 0.12);
    }
    float facing = max(dot(normal, u_sun_direction), 0.0);
    vec3 light = u_ambient * mix(vec3(0.35, 0.33, 0.30), u_sky_colour * 0.6 + 0.45, normal.z * 0.5 + 0.5);
    if (facing > 0.0) light += u_sun_colour * facing * sunlight(normal);
#ifdef LAMPS
    for (int i = 0; i < u_beam_count; i++) {
        // A low beam: wide, its edge soft, cut off above the horizon but for stray light.
        vec3 ray = v_position - u_beam_positions[i];
        float reach_m = length(ray);
        vec3 lit = ray / reach_m;
        float cone = smoothstep(0.72, 0.98, dot(lit.xy, u_beam_directions[i].xy) / max(length(lit.xy), 0.01));
        float cut = 0.10 + 0.90 * smoothstep(0.02, -0.01, lit.z);
        float share = u_beam_directions[i].z * cone * cut * (0.35 + 0.65 * max(dot(normal, -lit), 0.0)) / (1.0 + reach_m * reach_m / 300.0);
        light += u_beam * share * vec3(1.0, 0.96, 0.86);
    }
    for (int i = 0; i < u_lamp_count; i++) {
        // A street lamp shines downwards.
        vec3 ray = u_lamps[i].xyz - v_position;
        float reach_m = length(ray);
        vec3 lit = ray / reach_m;
        float share = u_lamps[i].w * smoothstep(0.05, 0.6, lit.z) * (0.2 + 0.8 * max(dot(normal, lit), 0.0)) / (1.0 + reach_m * reach_m / 60.0);
        light += u_street_lamp * share * vec3(1.0, 0.82, 0.55);
    }
#endif
    vec3 colour = albedo * light;
    if (max(v_tint.r, max(v_tint.g, v_tint.b)) > 1.5) colour = albedo;  // a lamp shines by itself
    if (glass > 0.01 || puddle > 0.01) {
        vec3 mirrored = reflect(direction, normal);
        float grazing = pow(1.0 - max(dot(-direction, normal), 0.0), 4.0);
        float share = max(glass * (0.25 + 0.6 * grazing), puddle * (0.04 + 0.55 * grazing));
        colour = mix(colour, sky(vec3(mirrored.xy, abs(mirrored.z))), share);
    }
    if (glass > 0.5 && hash(floor(v_uv.xy) + floor(v_tint.xy * 97.0)) < u_lit_windows) colour = mix(colour, vec3(1.1, 0.75, 0.35), 0.8);
    if (abs(material - MATERIAL_LAMP) < 0.5) colour += step(0.05, u_lit_windows) * vec3(2.0, 1.6, 1.0);
    float fog = 1.0 - exp(-distance_m * u_fog_1pm);
    f_colour = show(mix(colour, horizon(direction), fog));
}
"""
)
_VALUES = {
    "MAX_BEAMS": str(MAX_BEAMS),
    "MAX_LAMPS": str(MAX_LAMPS),
    **{f"MATERIAL_{name.upper()}": f"{LAYER[name]}.0" for name in ("grass", "plain", "lamp")},
}
OVERCAST = 0.95  # cloudiness from which there are no shadows


def scene_fragment(look: Look) -> str:
    """The program for everything solid, in this look."""
    parts = {"SHADOWS": look.cloudiness < OVERCAST, "WET": look.wetness > 0.0, "LAMPS": look.beam > 0.0}
    version, rest = _SCENE_FRAGMENT.lstrip().split("\n", 1)
    for name, value in _VALUES.items():
        rest = rest.replace(name, value)
    return "\n".join([version, *(f"#define {name}" for name, has in parts.items() if has), rest])


LABEL_VERTEX = """
#version 330
uniform mat4 u_view_projection;
in vec3 in_position;
in float in_label;
flat out float v_label;
void main() {
    v_label = in_label;
    gl_Position = u_view_projection * vec4(in_position, 1.0);
}
"""

LABEL_FRAGMENT = """
#version 330
flat in float v_label;
out vec2 f_label;
void main() { f_label = vec2(v_label, 1.0 / gl_FragCoord.w); }  // w is the depth along the optical axis
"""

SHADE_FRAGMENT = """
#version 330
uniform float u_shade;
in vec3 v_uv;
out vec4 f_colour;
void main() {
    vec2 edge = 1.0 - smoothstep(0.55, 1.0, abs(v_uv.xy));
    f_colour = vec4(0.0, 0.0, 0.0, u_shade * edge.x * edge.y);
}
"""

SKY_VERTEX = """
#version 330
uniform mat4 u_to_world;
in vec2 in_position;
out vec3 v_direction;
void main() {
    v_direction = (u_to_world * vec4(in_position, 1.0, 1.0)).xyz;
    gl_Position = vec4(in_position, 1.0, 1.0);
}
"""

SKY_FRAGMENT = (
    _COMMON
    + """
uniform float u_ambient;
in vec3 v_direction;
out vec4 f_colour;
void main() {
    vec3 direction = normalize(v_direction);
    vec3 colour = sky(direction);
    float towards = max(dot(direction, u_sun_direction), 0.0);
    colour += u_sun_colour * (1.0 - u_cloudiness) * (0.35 * pow(towards, 60.0) + 6.0 * smoothstep(0.9994, 0.9997, towards));
    if (direction.z > 0.01) {
        vec2 p = direction.xy / (direction.z + 0.12) * 1.3;
        float cover = 0.5 * noise(p) + 0.3 * noise(p * 2.3 + 7.0) + 0.2 * noise(p * 5.1 + 3.0);
        float cloud = smoothstep(0.75 - 0.45 * u_cloudiness, 0.95 - 0.25 * u_cloudiness, cover) * smoothstep(0.01, 0.12, direction.z);
        colour = mix(colour, horizon(direction) * 1.05 + 0.12 * u_sun_colour, 0.75 * cloud * (1.0 - 0.6 * step(0.99, u_cloudiness)));
    }
    // Far hills; their foot is hidden by the ground.
    float azimuth = atan(direction.y, direction.x);
    float ridge = 0.012 + 0.055 * noise(vec2(azimuth * 2.5 + 40.0, 1.0)) * noise(vec2(azimuth * 7.0 + 40.0, 5.0));
    if (direction.z < ridge) {
        vec3 hill = vec3(0.055, 0.085, 0.055) * (u_ambient + u_sun_colour);
        colour = mix(hill, horizon(direction), 1.0 - exp(-420.0 * u_fog_1pm - 0.35));
    }
    f_colour = show(colour);
}
"""
)

SHADOW_VERTEX = """
#version 330
uniform mat4 u_shadow_projection;
in vec3 in_position;
void main() { gl_Position = u_shadow_projection * vec4(in_position, 1.0); }
"""

SHADOW_FRAGMENT = """
#version 330
void main() {}
"""

RAIN_VERTEX = """
#version 330
in vec2 in_position;
void main() { gl_Position = vec4(in_position, 0.0, 1.0); }
"""

RAIN_FRAGMENT = """
#version 330
uniform vec3 u_streak_colour;
out vec4 f_colour;
void main() { f_colour = vec4(u_streak_colour, 0.16); }
"""
