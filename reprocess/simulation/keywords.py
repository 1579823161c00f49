"""The header keywords of a Level 1b file: where each stands, what it is called in the ASDF tree, what it means.

Taken from the keyword dictionary that flight data follow; a line without a keyword is a heading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped]

from reprocess.simulation.fits_blocks import Card

_PRIMARY = """
DATE     date                                   UTC date file created
ORIGIN   origin                                 Organization responsible for creating file
TIMESYS  time_sys                               principal time system for time-related keywords
TIMEUNIT time_unit                              Default unit applicable to all time values
FILENAME filename                               Name of the file
SDP_VER  data_processing_software_version       data processing software version number
PRD_VER  prd_software_version                   S&OC PRD version number used in data processing
OSS_VER  oss_software_version                   Observatory Scheduling Software version
GSC_VER  guide_star_catalog_version             Guide Star Catalog version
DATAMODL model_type                             Type of data model
TELESCOP telescope                              Telescope used to acquire the data
HGA_MOVE hga_move                               High Gain Antenna moved during data collection
COMPRESS compress                               On-board data compression was used (T/F)
- Program information
TITLE    program.title                          Proposal title
PI_NAME  program.pi_name                        Principal investigator name
CATEGORY program.category                       Program category
SUBCAT   program.sub_category                   Program sub-category
- Observation identifiers
DATE-OBS observation.date                       [yyyy-mm-dd] UTC date at start of exposure
TIME-OBS observation.time                       [hh:mm:ss.sss] UTC time at start of exposure
DATE-BEG observation.date_beg                   Date-time start of exposure
DATE-END observation.date_end                   Date-time end of exposure
OBS_ID   observation.obs_id                     Programmatic observation identifier
VISIT_ID observation.visit_id                   Visit identifier
PROGRAM  observation.program_number             Program number
OBSERVTN observation.observation_number         Observation number
VISIT    observation.visit_number               Visit number
VISITGRP observation.visit_group                Visit group identifier
SEQ_ID   observation.sequence_id                Parallel sequence identifier
ACT_ID   observation.activity_id                Activity identifier
EXPOSURE observation.exposure_number            Exposure request number
BKGDTARG observation.bkgdtarg                   Background target
TEMPLATE observation.template                   Observation template used
OBSLABEL observation.observation_label          Proposer label for the observation
- Visit information
ENG_QUAL visit.engineering_quality              Engineering data quality indicator
ENGQLPTG visit.engdb_pointing_quality           Quality of pointing information
VISITYPE visit.type                             Visit type
VSTSTART visit.start_time                       UTC visit start time
VISITSTA visit.status                           Status of a visit
NEXPOSUR visit.total_exposures                  Total number of planned exposures in visit
INTARGET visit.internal_target                  At least one exposure in visit is internal
TARGOOPP visit.too_visit                        Visit scheduled as target of opportunity
TSOVISIT visit.tsovisit                         Time Series Observation visit indicator
EXP_ONLY visit.exp_only                         Special commanding without SI configuration
CROWDFLD visit.crowded_field                    Are the FGSes in a crowded field?
- Target information
TARGPROP target.proposer_name                   Proposer's name for the target
TARGNAME target.catalog_name                    Standard astronomical catalog name
TARGTYPE target.type                            Type of target (fixed, moving, generic)
TARG_RA  target.ra                              [deg] Target RA at mid time of exposure
TARG_DEC target.dec                             [deg] Target Dec at mid time of exposure
PROP_RA  target.proposer_ra                     [deg] Proposer's target RA
PROP_DEC target.proposer_dec                    [deg] Proposer's target Dec
- Instrument configuration information
INSTRUME instrument.name                        Instrument used to acquire the data
DETECTOR instrument.detector                    Name of detector used to acquire the data
MODULE   instrument.module                      NIRCam module: A, B, or MULTIPLE
CHANNEL  instrument.channel                     Instrument channel
FILTER   instrument.filter                      Name of the filter element used
PUPIL    instrument.pupil                       Name of the pupil element used
- Exposure parameters
EXPCOUNT exposure.count                         Running count of exposures in visit
EXPRIPAR exposure.prime_parallel                Prime or parallel exposure
EXP_TYPE exposure.type                          Type of data in the exposure
EXPSTART exposure.start_time                    [d] exposure start time in MJD
EXPMID   exposure.mid_time                      [d] exposure mid time in MJD
EXPEND   exposure.end_time                      [d] exposure end time in MJD
READPATT exposure.readpatt                      Readout pattern
NOUTPUTS exposure.noutputs                      Number of detector outputs used
NINTS    exposure.nints                         Number of integrations in exposure
NGROUPS  exposure.ngroups                       Number of groups in integration
NFRAMES  exposure.nframes                       Number of frames per group
FRMDIVSR exposure.frame_divisor                 Divisor applied to frame-averaged groups
GROUPGAP exposure.groupgap                      Number of frames dropped between groups
DRPFRMS1 exposure.drop_frames1                  Frames dropped prior to first integration
DRPFRMS3 exposure.drop_frames3                  Frames dropped between integrations
NSAMPLES exposure.nsamples                      Number of A/D samples per pixel
TSAMPLE  exposure.sample_time                   [us] Time between samples
TFRAME   exposure.frame_time                    [s] Time between frames
TGROUP   exposure.group_time                    [s] Time between groups
EFFINTTM exposure.integration_time              [s] Effective integration time
EFFEXPTM exposure.exposure_time                 [s] Effective exposure time
DURATION exposure.duration                      [s] Total duration of exposure
NRSTSTRT exposure.nresets_at_start              Number of resets at start of exposure
NRESETS  exposure.nresets_between_ints          Number of resets between integrations
ZEROFRAM exposure.zero_frame                    Zero frame was downlinked separately
DATAPROB exposure.data_problem                  Science telemetry indicated a problem
SCA_NUM  exposure.sca_num                       Sensor Chip Assembly number
- Subarray parameters
SUBARRAY subarray.name                          Subarray used
SUBSTRT1 subarray.xstart                        Starting pixel in axis 1 direction
SUBSTRT2 subarray.ystart                        Starting pixel in axis 2 direction
SUBSIZE1 subarray.xsize                         Number of pixels in axis 1 direction
SUBSIZE2 subarray.ysize                         Number of pixels in axis 2 direction
FASTAXIS subarray.fastaxis                      Fast readout axis direction
SLOWAXIS subarray.slowaxis                      Slow readout axis direction
- Dither information
PATTTYPE dither.primary_type                    Primary dither pattern type
PATT_NUM dither.position_number                 Position number within dither pattern
NUMDTHPT dither.total_points                    Total number of points in pattern
XOFFSET  dither.x_offset                        x offset from pattern starting position
YOFFSET  dither.y_offset                        y offset from pattern starting position
- Aperture information
APERNAME aperture.name                          PRD science aperture used
PPS_APER aperture.pps_name                      original AperName supplied by PPS
- Velocity aberration correction information
VA_RA    velocity_aberration.va_ra_ref          [deg] Aberrated reference RA
VA_DEC   velocity_aberration.va_dec_ref         [deg] Aberrated reference Dec
- Time information
BARTDELT time.barycentric_correction            Barycentric time correction
BSTRTIME time.barycentric_expstart              [d] Barycentric exposure start time in MJD
BENDTIME time.barycentric_expend                [d] Barycentric exposure end time in MJD
BMIDTIME time.barycentric_expmid                [d] Barycentric exposure mid time in MJD
HELIDELT time.heliocentric_correction           Heliocentric time correction
HSTRTIME time.heliocentric_expstart             [d] Heliocentric exposure start time in MJD
HENDTIME time.heliocentric_expend               [d] Heliocentric exposure end time in MJD
HMIDTIME time.heliocentric_expmid               [d] Heliocentric exposure mid time in MJD
- Guide star information
GS_ORDER guidestar.gs_order                     index of guide star within list of selected
GDSTARID guidestar.gs_id                        guide star identifier
GS_RA    guidestar.gs_ra                        guide star right ascension
GS_DEC   guidestar.gs_dec                       guide star declination
GS_MAG   guidestar.gs_mag                       guide star magnitude in FGS detector
PCS_MODE guidestar.gs_pcs_mode                  Pointing Control System mode
"""

_SCIENCE = """
MJD-BEG  exposure.start_time_mjd                [d] exposure start time in MJD
MJD-AVG  exposure.mid_time_mjd                  [d] exposure mid-point in MJD
MJD-END  exposure.end_time_mjd                  [d] exposure end time in MJD
TDB-BEG  exposure.start_time_tdb                [d] TDB time of exposure start in MJD
TDB-MID  exposure.mid_time_tdb                  [d] TDB time of exposure mid-point in MJD
TDB-END  exposure.end_time_tdb                  [d] TDB time of exposure end in MJD
XPOSURE  exposure.effective_exposure_time       [s] Effective exposure time
TELAPSE  exposure.elapsed_exposure_time         [s] Total elapsed exposure time
- JWST ephemeris information
REFFRAME ephemeris.reference_frame              Ephemeris reference frame
EPH_TYPE ephemeris.type                         Definitive or Predicted
EPH_TIME ephemeris.time                         [d] MJD time of position and velocity vectors
JWST_X   ephemeris.spatial_x_bary               [km] barycentric JWST X coordinate
JWST_Y   ephemeris.spatial_y_bary               [km] barycentric JWST Y coordinate
JWST_Z   ephemeris.spatial_z_bary               [km] barycentric JWST Z coordinate
JWST_DX  ephemeris.velocity_x_bary              [km/s] barycentric JWST X velocity
JWST_DY  ephemeris.velocity_y_bary              [km/s] barycentric JWST Y velocity
JWST_DZ  ephemeris.velocity_z_bary              [km/s] barycentric JWST Z velocity
PA_APER  aperture.position_angle                [deg] Position angle of aperture used
VA_SCALE velocity_aberration.scale_factor       Velocity aberration scale factor
BUNIT    bunit_data                             physical units of the array values
- Information about the coordinates in the file
RADESYS  coordinates.reference_frame            Name of the coordinate reference frame
- Spacecraft pointing information
RA_V1    pointing.ra_v1                         [deg] RA of telescope V1 axis
DEC_V1   pointing.dec_v1                        [deg] Dec of telescope V1 axis
PA_V3    pointing.pa_v3                         [deg] Position angle of telescope V3 axis
- WCS parameters
WCSAXES  wcsinfo.wcsaxes                        number of World Coordinate System axes
CRPIX1   wcsinfo.crpix1                         axis 1 coordinate of the reference pixel
CRPIX2   wcsinfo.crpix2                         axis 2 coordinate of the reference pixel
CRVAL1   wcsinfo.crval1                         first axis value at the reference pixel
CRVAL2   wcsinfo.crval2                         second axis value at the reference pixel
CTYPE1   wcsinfo.ctype1                         Axis 1 type
CTYPE2   wcsinfo.ctype2                         Axis 2 type
CUNIT1   wcsinfo.cunit1                         Axis 1 units
CUNIT2   wcsinfo.cunit2                         Axis 2 units
CDELT1   wcsinfo.cdelt1                         Axis 1 increment at reference point
CDELT2   wcsinfo.cdelt2                         Axis 2 increment at reference point
PC1_1    wcsinfo.pc1_1                          linear transformation matrix element
PC1_2    wcsinfo.pc1_2                          linear transformation matrix element
PC2_1    wcsinfo.pc2_1                          linear transformation matrix element
PC2_2    wcsinfo.pc2_2                          linear transformation matrix element
S_REGION wcsinfo.s_region                       spatial extent of the observation
V2_REF   wcsinfo.v2_ref                         [arcsec] V2 of reference point
V3_REF   wcsinfo.v3_ref                         [arcsec] V3 of reference point
VPARITY  wcsinfo.vparity                        Relative sense of rotation, Ideal xy to V2V3
V3I_YANG wcsinfo.v3yangle                       [deg] Angle from V3 axis to Ideal y axis
RA_REF   wcsinfo.ra_ref                         [deg] Right ascension of the reference point
DEC_REF  wcsinfo.dec_ref                        [deg] Declination of the reference point
ROLL_REF wcsinfo.roll_ref                       [deg] V3 roll angle at the ref point
VELOSYS  wcsinfo.velosys                        [m/s] Barycentric correction to radial vel.
"""

# As flight files begin: these lines make the tree one that any ASDF library reads without questions of version.
_ASDF_BEGIN = b"#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n--- !core/asdf-1.1.0\n"
_ASDF_END = b"...\n"


@dataclass(frozen=True, slots=True)
class Keyword:
    """One line of the dictionary; a heading has an empty name and path."""

    name: str
    path: str
    comment: str


def _read(text: str) -> tuple[Keyword, ...]:
    return tuple(_line(line) for line in text.strip().splitlines())


def _line(line: str) -> Keyword:
    if line.startswith("- "):
        return Keyword("", "", line[2:])
    name, path, comment = line.split(maxsplit=2)
    return Keyword(name, path, comment)


PRIMARY, SCIENCE = _read(_PRIMARY), _read(_SCIENCE)


def cards(keywords: tuple[Keyword, ...], values: Mapping[str, Any]) -> list[Card]:
    """Header cards of the keywords that have a value, in the order of the dictionary, with headings."""
    listed = [(one.name, values.get(one.name), one.comment) for one in keywords]
    return [card for card in listed if not card[0] or card[1] is not None]


def asdf_document(values: Mapping[str, Any]) -> bytes:
    """The same values as an ASDF document with a ``meta`` tree, without any version of a library in it."""
    meta: dict[str, Any] = {}
    for one in (*PRIMARY, *SCIENCE):
        if one.name and values.get(one.name) is not None:
            _put(meta, one.path.split("."), values[one.name])
    body: bytes = yaml.dump({"meta": meta}, Dumper=yaml.CSafeDumper, encoding="utf-8", default_flow_style=None)
    return _ASDF_BEGIN + body + _ASDF_END


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:  # noqa: ANN401 - header values are of any type
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value
