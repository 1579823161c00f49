"""The ASDF tree of a product: `meta` from its header keywords, arrays by reference to the FITS extensions.

Readers of JWST data models look up `meta` by path; which keyword stands for which path is part of the format.
The tables below cover what Level 1b files and products of stage 1 hold; other keywords go to ``extra_fits``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy.io import fits

from reprocess.formats.asdf_tree import NDARRAY, Tagged

# One parent path to a paragraph; KEYWORD=name. In ``meta.ref_file.*`` the leaf is ``<name>.name``.
_PRIMARY = """
meta: DATE=date ORIGIN=origin TIMESYS=time_sys TIMEUNIT=time_unit FILENAME=filename
    SDP_VER=data_processing_software_version PRD_VER=prd_software_version OSS_VER=oss_software_version
    GSC_VER=guide_star_catalog_version CAL_VER=calibration_software_version CAL_VCS=calibration_software_revision
    DATAMODL=model_type TELESCOP=telescope HGA_MOVE=hga_move HGA_STRT=hga_start_time HGA_STOP=hga_stop_time
    PWFSEET=pwfseet NWFSEST=nwfsest COMPRESS=compress
meta.program: TITLE=title PI_NAME=pi_name CATEGORY=category SUBCAT=sub_category SCICAT=science_category
    CONT_ID=continuation_id
meta.observation: DATE-OBS=date TIME-OBS=time DATE-BEG=date_beg DATE-END=date_end OBS_ID=obs_id VISIT_ID=visit_id
    PROGRAM=program_number OBSERVTN=observation_number VISIT=visit_number VISITGRP=visit_group SEQ_ID=sequence_id
    ACT_ID=activity_id EXPOSURE=exposure_number BKGDTARG=bkgdtarg TEMPLATE=template OBSLABEL=observation_label
    OBSFOLDR=observation_folder
meta.visit: ENG_QUAL=engineering_quality ENGQLPTG=engdb_pointing_quality VISITYPE=type VSTSTART=start_time
    VISITSTA=status NEXPOSUR=total_exposures INTARGET=internal_target TARGOOPP=too_visit TSOVISIT=tsovisit
    EXP_ONLY=exp_only CROWDFLD=crowded_field
meta.target: TARGPROP=proposer_name TARGNAME=catalog_name TARGTYPE=type TARGCAT=category TARGDESC=description
    TARG_RA=ra TARG_DEC=dec TARGURA=ra_uncertainty TARGUDEC=dec_uncertainty MU_RA=proper_motion_ra
    MU_DEC=proper_motion_dec MU_EPOCH=proper_motion_epoch PROP_RA=proposer_ra PROP_DEC=proposer_dec
    SRCTYAPT=source_type_apt
meta.instrument: INSTRUME=name DETECTOR=detector MODULE=module CHANNEL=channel FILTER=filter
    FWPOSOFF=filter_wheel_offset FWPOSTOL=filter_wheel_tolerance PUPIL=pupil PILIN=pupil_imaging_lens
    PWPOSOFF=pupil_wheel_offset PWPOSTOL=pupil_wheel_tolerance GRATING=grating BAND=band FXD_SLIT=fixed_slit
    FOCUSPOS=focus_position PREIMAGE=pre_image_id FPE_SIDE=miri_fpe_side ICE_SIDE=miri_ice_side CCCSTATE=ccc_state
    CORONMSK=coronagraph MSASTATE=msa_state MSAMETFL=msa_metadata_file MSAMETID=msa_metadata_id
    MSACONID=msa_configuration_id LAMP=lamp_state OPMODE=lamp_mode GWA_XTIL=gwa_xtilt GWA_YTIL=gwa_ytilt
    GWA_XP_V=gwa_xp_v GWA_YP_V=gwa_yp_v GWA_PXAV=gwa_pxav GWA_PYAV=gwa_pyav GWA_TILT=gwa_tilt FWCPOS=filter_position
    PWCPOS=pupil_position
meta.exposure: EXPCOUNT=count EXPRIPAR=prime_parallel EXP_TYPE=type EXPSTART=start_time EXPMID=mid_time
    EXPEND=end_time EXPSTENG=start_time_eng OSF_FILE=osf_file READPATT=readpatt HYBRIDFF=hybrid_full_frame
    EXSEGNUM=segment_number EXSEGTOT=segment_total NOUTPUTS=noutputs NINTS=nints INTSTART=integration_start
    INTEND=integration_end NGROUPS=ngroups NFRAMES=nframes MIRNGRPS=miri_fsw_ngroups MIRNFRMS=miri_fsw_nframes
    DETMODE=detmode CMD_TSEL=cmd_tsel FRMDIVSR=frame_divisor GROUPGAP=groupgap DRPFRMS1=drop_frames1
    DRPFRMS3=drop_frames3 NSAMPLES=nsamples TSAMPLE=sample_time TFRAME=frame_time TGROUP=group_time
    EFFINTTM=integration_time EFFEXPTM=exposure_time TMEASURE=measurement_time DURATION=duration
    NRSTSTRT=nresets_at_start NRESETS=nresets_between_ints ZEROFRAM=zero_frame DATAPROB=data_problem SCA_NUM=sca_num
    DATAMODE=datamode NRS_NORM=nrs_normal NRS_REF=nrs_reference SCTARATE=clock_adjust_rate GAINFACT=gain_factor
    IS_IMPRT=imprint IS_PSF=psf_reference SELFREF=self_reference_survey PRIMECRS=primary_cosmic_rays
    EXTNCRS=extended_emission_events
meta.subarray: SUBARRAY=name SUB_SHRT=subarray_short SUB_LONG=subarray_long SUBSTRT1=xstart SUBSTRT2=ystart
    SUBSIZE1=xsize SUBSIZE2=ysize FASTAXIS=fastaxis SLOWAXIS=slowaxis DETXCOR=detxcor DETYCOR=detycor DETXSIZ=detxsiz
    DETYSIZ=detysiz MSTR_RD1=multistripe_reads1 MSTR_SK1=multistripe_skips1 MSTR_RD2=multistripe_reads2
    MSTR_SK2=multistripe_skips2 MSTR_RPT=repeat_stripe MSTR_ILV=interleave_reads1 SSTR_STP=superstripe_step
    SSTR_NST=num_superstripe
meta.dither: PATTTYPE=primary_type PRIDTYPE=primary_dither_type PRIDTPTS=primary_points PATT_NUM=position_number
    PATTSTRT=pattern_start NUMDTHPT=total_points PATTNPTS=total_cycling_points NRIMDTPT=dither_points
    NOD_TYPE=nod_type PATTSIZE=pattern_size SMGRDPAT=small_grid_pattern SUBPXPTS=subpixel_total_points
    SUBPXPAT=subpixel_pattern SPEC_NUM=spectral_position_number SPECNSTP=spectral_total_points
    SPECSTEP=spectral_step_size SPCOFFST=spectral_offset SPAT_NUM=spatial_position_number
    SPATNSTP=spatial_total_points SPATSTEP=spatial_step_size SPTOFFST=spatial_offset XOFFSET=x_offset YOFFSET=y_offset
    DSETSTRT=starting_set NUMDSETS=number_of_sets DITHDIRC=direction DITHOPFR=optimized_for DITHPNTS=sparse_points
    MRSPRCHN=primary_channel DITH_RA=dithered_ra DITH_DEC=dithered_dec
meta.aperture: APERNAME=name PPS_APER=pps_name
meta.velocity_aberration: VA_RA=va_ra_ref VA_DEC=va_dec_ref
meta.time: BARTDELT=barycentric_correction BSTRTIME=barycentric_expstart BENDTIME=barycentric_expend
    BMIDTIME=barycentric_expmid HELIDELT=heliocentric_correction HSTRTIME=heliocentric_expstart
    HENDTIME=heliocentric_expend HMIDTIME=heliocentric_expmid
meta.nircam_focus: FAM_LA1=fam_la1 FASTEP1=fastep1 FAUNIT1=faunit1 FAPHASE1=faphase1 FA1VALUE=fa1value FAM_LA2=fam_la2
    FASTEP2=fastep2 FAUNIT2=faunit2 FAPHASE2=faphase2 FA2VALUE=fa2value FAM_LA3=fam_la3 FASTEP3=fastep3
    FAUNIT3=faunit3 FAPHASE3=faphase3 FA3VALUE=fa3value
meta.nirspec_wfsc: RMA_POS=rma_pos FCSRLPOS=rma_step
meta.guidestar: GS_ORDER=gs_order GSSTRTTM=gs_start_time GSENDTIM=gs_stop_time GDSTARID=gs_id GS_RA=gs_ra
    GS_DEC=gs_dec GS_URA=gs_ura GS_UDEC=gs_udec GS_MAG=gs_mag GS_UMAG=gs_umag GS_V3_PA=gs_v3_pa_science
    PCS_MODE=gs_pcs_mode VISITEND=visit_end_time GF_START=gs_function_start_time GF_END=gs_function_end_time
    FGS_APER=fgs_aperture GSIDL_X=gs_ideal_x GSIDL_Y=gs_ideal_y V2_REF=fgs_v2_ref V3_REF=fgs_v3_ref
    ROLL_REF=fgs_roll_ref V3I_YANG=fgs_v3yangle VPARITY=fgs_vparity DATASTRT=data_start DATAEND=data_end
    GSACSTAT=gs_acq_exec_stat GSCENTX=gs_ctd_x GSCENTY=gs_ctd_y GS_EPOCH=gs_epoch GS_MURA=gs_mura GS_MUDEC=gs_mudec
    GS_PARA=gs_para
meta.ref_file.crds: CRDS_VER=sw_version CRDS_CTX=context_used
meta.ref_file.*: R_AREA=area R_BKG=bkg R_MSAOPE=badshutter R_BARSHA=barshadow R_CAMERA=camera R_CHRCOR=chromcorr
    R_COLLIM=collimator R_SIRSKL=sirskernel R_CUBPAR=cubepar R_DARK=dark R_DISPER=disperser R_DISTOR=distortion
    R_MIREMI=emicorr R_EXTR1D=extract1d R_FILOFF=filteroffset R_FLAT=flat R_DFLAT=dflat R_FFLAT=fflat R_SFLAT=sflat
    R_FORE=fore R_FPA=fpa R_FRINGE=fringe R_FRIFRQ=fringefreq R_GAIN=gain R_IFUFOR=ifufore R_IFUPOS=ifupost
    R_IFUSLI=ifuslicer R_IPC=ipc R_LASTFR=lastframe R_LINEAR=linearity R_MASK=mask R_MSA=msa R_MRSXAR=mrsxartcorr
    R_MRSPT=mrsptcorr R_NRM=nrm R_OTE=ote R_PSTSOS=pastasoss R_PTHLOS=pathloss R_PERSAT=persat R_PHOTOM=photom
    R_PSFMAS=psfmask R_READNO=readnoise R_REFPIX=refpix R_REGION=regions R_RESAMP=resample R_RESOL=resolution
    R_RESET=reset R_RSCD=rscd R_SATURA=saturation R_SPKERN=speckernel R_SPPROF=specprofile R_SPTRAC=spectrace
    R_SPCWCS=specwcs R_STRAY=straylight R_SUPERB=superbias R_THRPUT=throughput R_TRPDEN=trapdensity R_TRPPAR=trappars
    R_TSPHOT=tso_photometry R_V2V3=v2v3 R_WAVCOR=wavecorr R_WAVRAN=wavelengthrange R_WAVMAP=wavemap
meta.cal_step: S_TRCMOD=adaptive_trace_model S_PSFALI=align_psfs S_AMIANA=ami_analyze S_AMINOR=ami_normalize
    S_WCS=assign_wcs S_MTWCS=assign_mtwcs S_BKDSUB=bkg_subtract S_BPXSLF=badpix_selfcal S_BARSHA=barshadow
    S_CHGMIG=charge_migration S_CLNFNS=clean_flicker_noise S_COMB1D=combine_1d S_IFUCUB=cube_build S_DARK=dark_sub
    S_DQINIT=dq_init S_MIREMI=emicorr S_TELEMI=emission S_ERRINI=err_init S_EXTR1D=extract_1d S_EXTR2D=extract_2d
    S_FRSTFR=firstframe S_FLAT=flat_field S_FRINGE=fringe S_GANSCL=gain_scale S_GRPSCL=group_scale S_GUICDS=guider_cds
    S_IMPRNT=imprint S_IPC=ipc S_JUMP=jump S_KLIP=klip S_LASTFR=lastframe S_LINEAR=linearity
    S_MSBSUB=master_background S_MSAFLG=msa_flagging S_OUTLIR=outlier_detection S_PTHLOS=pathloss S_PERSIS=persistence
    S_PHOTOM=photom S_PCTFRM=picture_frame S_PXREPL=pixel_replace S_RAMP=ramp_fit S_REFPIX=refpix S_RESAMP=resample
    S_RESFRI=residual_fringe S_RESET=reset S_RSCD=rscd S_SATURA=saturation S_SKYMAT=skymatch S_SRCCAT=source_catalog
    S_SPLEAK=spectral_leak S_SRCTYP=srctype S_PSFSTK=stack_psfs S_STRAY=straylight S_SUPERB=superbias
    S_TACNTR=targ_centroid S_TSPHOT=tso_photometry S_TWKREG=tweakreg S_WAVCOR=wavecorr S_WFSCOM=wfs_combine
    S_CONTAM=wfss_contam S_WHTLIT=white_light
"""

_SCI = """
meta.target: SRCTYPE=source_type
meta.exposure: MJD-BEG=start_time_mjd MJD-AVG=mid_time_mjd MJD-END=end_time_mjd TDB-BEG=start_time_tdb
    TDB-MID=mid_time_tdb TDB-END=end_time_tdb XPOSURE=effective_exposure_time TELAPSE=elapsed_exposure_time
meta.ephemeris: REFFRAME=reference_frame EPH_TYPE=type EPH_TIME=time JWST_X=spatial_x_bary JWST_Y=spatial_y_bary
    JWST_Z=spatial_z_bary OBSGEO-X=spatial_x_geo OBSGEO-Y=spatial_y_geo OBSGEO-Z=spatial_z_geo JWST_DX=velocity_x_bary
    JWST_DY=velocity_y_bary JWST_DZ=velocity_z_bary OBSGEODX=velocity_x_geo OBSGEODY=velocity_y_geo
    OBSGEODZ=velocity_z_geo
meta.aperture: PA_APER=position_angle
meta.velocity_aberration: VA_SCALE=scale_factor
meta: BUNIT=bunit_data
meta.coordinates: RADESYS=reference_frame
meta.pointing: RA_V1=ra_v1 DEC_V1=dec_v1 PA_V3=pa_v3
meta.wcsinfo: WCSAXES=wcsaxes CRPIX1=crpix1 CRPIX2=crpix2 CRPIX3=crpix3 CRVAL1=crval1 CRVAL2=crval2 CRVAL3=crval3
    CTYPE1=ctype1 CTYPE2=ctype2 CTYPE3=ctype3 CUNIT1=cunit1 CUNIT2=cunit2 CUNIT3=cunit3 CDELT1=cdelt1 CDELT2=cdelt2
    CDELT3=cdelt3 PC1_1=pc1_1 PC1_2=pc1_2 PC1_3=pc1_3 PC2_1=pc2_1 PC2_2=pc2_2 PC2_3=pc2_3 PC3_1=pc3_1 PC3_2=pc3_2
    PC3_3=pc3_3 CD1_1=cd1_1 CD1_2=cd1_2 CD2_1=cd2_1 CD2_2=cd2_2 PS3_0=ps3_0 PS3_1=ps3_1 S_REGION=s_region
    WAVSTART=waverange_start WAVEND=waverange_end DISPAXIS=dispersion_direction SPORDER=spectral_order V2_REF=v2_ref
    V3_REF=v3_ref VPARITY=vparity V3I_YANG=v3yangle RA_REF=ra_ref DEC_REF=dec_ref ROLL_REF=roll_ref VELOSYS=velosys
    SPECSYS=specsys XREF_SCI=siaf_xref_sci YREF_SCI=siaf_yref_sci MT_RA=mt_ra MT_DEC=mt_dec MT_AVRA=mt_avra
    MT_AVDEC=mt_avdec
"""

_STRUCTURAL = frozenset(
    [
        "SIMPLE",
        "XTENSION",
        "BITPIX",
        "NAXIS",
        "PCOUNT",
        "GCOUNT",
        "EXTEND",
        "BSCALE",
        "BZERO",
        "BLANK",
        "EXTNAME",
        "EXTVER",
        "EXTLEVEL",
        "HISTORY",
        "TFIELDS",
    ]
)


def _table(text: str) -> dict[str, tuple[str, ...]]:
    paths: dict[str, tuple[str, ...]] = {}
    parent: tuple[str, ...] = ()
    for word in text.split():
        if word.endswith(":"):
            parent = tuple(word[:-1].split("."))
            continue
        keyword, _, name = word.partition("=")
        paths[keyword] = (*parent[:-1], name, "name") if parent[-1] == "*" else (*parent, name)
    return paths


PATHS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"PRIMARY": _table(_PRIMARY), "SCI": _table(_SCI), "ERR": {"BUNIT": ("meta", "bunit_err")}}
)

# CRDS type in lower case to the keyword of its file name.
REFERENCE_KEYWORDS: Mapping[str, str] = MappingProxyType(
    {
        path[2]: keyword
        for keyword, path in PATHS["PRIMARY"].items()
        if path[:2] == ("meta", "ref_file") and keyword[:2] == "R_"
    }
)


def tree(
    headers: Mapping[str, fits.Header],
    arrays: Mapping[str, tuple[str, np.dtype[Any], tuple[int, ...]]],
    *,
    inherited: Mapping[str, object],
    logs: Mapping[str, object],
) -> dict[str, Any]:
    """Build the tree of a product.

    Parameters
    ----------
    headers : mapping of extension name to header
        ``PRIMARY``, ``SCI`` and ``ERR`` as they are written.
    arrays : mapping of tree key to (extension, data type, shape)
        For example ``data`` to ``("SCI", float32, (2048, 2048))``.
    inherited : mapping
        ``meta`` of the Level 1b file; keywords win over it, and its statuses and reference names are not taken over.
    logs : mapping of name to list of str

    Returns
    -------
    dict
        ``meta``, ``extra_fits`` where needed, ``cal_logs`` where there are any, and one node per array.
    """
    meta = copy.deepcopy({key: value for key, value in inherited.items() if key not in ("cal_step", "ref_file")})
    result: dict[str, Any] = {"meta": meta}
    for name, header in headers.items():
        extra = []
        for card in _valued(header):
            path = PATHS.get(name, {}).get(card.keyword)
            if path:
                _put(result, path, card.value)
            elif not _structural(card.keyword):
                extra.append([card.keyword, card.value, card.comment])
        if extra:
            _put(result, ("extra_fits", name, "header"), extra)
    if logs:
        result["cal_logs"] = dict(logs)
    for key, (extension, dtype, shape) in arrays.items():
        result[key] = _node(extension, dtype, shape)
    return result


def _valued(header: fits.Header) -> Iterator[fits.Card]:
    for card in header.cards:
        if card.keyword and isinstance(card.value, str | int | float | bool):
            yield card


def _structural(keyword: str) -> bool:
    return keyword in _STRUCTURAL or keyword.rstrip("0123456789") in ("NAXIS", "TTYPE", "TFORM", "TUNIT", "TZERO")


def _put(root: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    node = root
    for key in path[:-1]:
        below = node.setdefault(key, {})
        if not isinstance(below, dict):
            below = node[key] = {}
        node = below
    node[path[-1]] = value


def _node(extension: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Tagged:
    node: dict[str, Any] = {"source": f"fits:{extension},1", "datatype": dtype.name, "byteorder": "big"}
    if dtype.names:
        node["datatype"] = [
            {"name": name, "datatype": np.dtype(dtype[name]).name, "byteorder": "big"} for name in dtype.names
        ]
    return Tagged(NDARRAY, {**node, "shape": list(shape)})
