"""Which header keywords a catalogue entry keeps, and why."""

from __future__ import annotations

# Reason on the left, keywords on the right. A keyword that nobody needs costs bytes in every row of the catalogue.
KEPT_FOR: dict[str, str] = {
    "naming the exposure": """
        TELESCOP FILENAME DATAMODL PROGRAM OBSERVTN VISIT VISIT_ID VISITGRP SEQ_ID ACT_ID EXPOSURE OBS_ID EXPRIPAR
        EXSEGNUM EXSEGTOT INTSTART INTEND""",
    "choosing exposures, in questions that people ask": """
        TITLE CATEGORY TEMPLATE TARGPROP TARGNAME TARGTYPE TARG_RA TARG_DEC APERNAME BKGDTARG IS_IMPRT IS_PSF""",
    "choosing reference files (what CRDS matches on)": """
        INSTRUME DETECTOR MODULE CHANNEL FILTER PUPIL GRATING BAND CORONMSK FXD_SLIT LAMP OPMODE MSASTATE EXP_TYPE
        READPATT SUBARRAY NOUTPUTS TSOVISIT VISITYPE PILIN PATTTYPE NRS_NORM NRS_REF FWCPOS PWCPOS DATE-OBS TIME-OBS""",
    "calibrating: times of groups": """
        NINTS NGROUPS NFRAMES GROUPGAP FRMDIVSR DRPFRMS1 DRPFRMS3 NSAMPLES TSAMPLE TFRAME TGROUP EFFINTTM EFFEXPTM
        DURATION NRSTSTRT NRESETS ZEROFRAM""",
    "calibrating: place on the detector": """
        SUBSTRT1 SUBSTRT2 SUBSIZE1 SUBSIZE2 FASTAXIS SLOWAXIS DETXCOR DETYCOR DETXSIZ DETYSIZ MSTR_RD1 MSTR_RPT
        SSTR_NST""",
    "ordering in time": "DATE DATE-BEG DATE-END EXPSTART EXPMID EXPEND",
    "judging what a product was made with": """
        CAL_VER CAL_VCS SDP_VER PRD_VER CRDS_VER CRDS_CTX GAINFACT RPVERS RPFPRINT RPRAWTAG""",
    "knowing that something went wrong": "DATAPROB ENG_QUAL ENGQLPTG VISITSTA",
}

# Names of reference files (R_) and statuses of steps (S_), whatever they are.
KEPT_PREFIXES = ("R_", "S_")

# What lays out the data unit; never part of an entry.
STRUCTURE = frozenset(
    [
        "SIMPLE",
        "XTENSION",
        "BITPIX",
        "NAXIS",
        "NAXIS1",
        "NAXIS2",
        "NAXIS3",
        "NAXIS4",
        "NAXIS5",
        "PCOUNT",
        "GCOUNT",
        "EXTEND",
        "BSCALE",
        "BZERO",
        "EXTNAME",
    ]
)

KEPT = frozenset(" ".join(KEPT_FOR.values()).split())


class _Wanted:
    """The kept keywords as a container."""

    def __contains__(self, keyword: object) -> bool:
        return keyword in KEPT or keyword in STRUCTURE or (isinstance(keyword, str) and keyword[:2] in KEPT_PREFIXES)


WANTED = _Wanted()
