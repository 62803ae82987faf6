"""Generated facts, shared by the law tests: awkward real values first, then anything."""

from __future__ import annotations

from hypothesis import strategies as st

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.facts import Compression, Device, Driver, Fatbin, FatbinGroup, Image, ImageKind, Library, PtxJit
from capably.requirement import (
    Clause,
    CodeFor,
    Comparison,
    Generation,
    Limit,
    NamedFeature,
    OneOf,
    Requirement,
    Version,
)
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease, PtxVersion

KNOWN = sorted(tables().architectures)

capabilities = st.one_of(st.sampled_from(KNOWN), st.builds(ComputeCapability, st.integers(1, 99), st.integers(0, 9)))
suffixes = st.sampled_from(Suffix)
targets = st.builds(Target, capabilities, suffixes, st.sampled_from(TargetKind))
cuda_versions = st.one_of(
    st.sampled_from([toolkit.cuda for toolkit in tables().toolkits]),
    st.builds(CudaVersion, st.integers(9, 15), st.integers(0, 12)),
)
ptx_versions = st.builds(PtxVersion, st.integers(3, 10), st.integers(0, 9))
releases = st.builds(DriverRelease, st.integers(300, 700), st.integers(0, 200), st.integers(0, 99))
devices = st.builds(Device, capabilities)
drivers = st.one_of(
    st.builds(Driver, releases, st.none(), st.booleans(), st.sampled_from(PtxJit)),
    st.builds(Driver, st.none(), cuda_versions, st.booleans(), st.sampled_from(PtxJit)),
)


@st.composite
def images(draw: st.DrawFn) -> Image:
    kind = draw(st.sampled_from(ImageKind))
    target_kind = {
        ImageKind.PTX: TargetKind.VIRTUAL,
        ImageKind.RELPTX: TargetKind.VIRTUAL,
        ImageKind.LTOIR: TargetKind.LTO,
    }
    target = Target(draw(capabilities), draw(suffixes), target_kind.get(kind, TargetKind.REAL))
    return Image(
        kind,
        draw(st.sampled_from((target, target, target, None))),
        relocatable=draw(st.booleans()),
        stub=draw(st.sampled_from((False, False, True, None))),
        compression=draw(st.sampled_from(Compression)),
        concatenated=draw(st.booleans()),
        ptx=draw(st.none() | ptx_versions) if kind in (ImageKind.PTX, ImageKind.RELPTX) else None,
        code_version=draw(st.sampled_from((None, (1, 7), (1, 8)))),
        toolkit=draw(st.none() | cuda_versions),
    )


fatbins = st.builds(Fatbin, st.lists(images(), max_size=6).map(tuple))
libraries = st.builds(
    Library,
    st.just("pkg/_C.so"),
    st.just(1000),
    st.lists(
        st.builds(FatbinGroup, fatbins, st.integers(1, 400)), max_size=5, unique_by=lambda group: group.fatbin
    ).map(tuple),
)

operators = st.sampled_from((">=", ">", "<=", "<", "==", "!="))
orders = st.sampled_from((">=", ">", "<=", "<"))
specific = st.sampled_from((Suffix.ARCH_SPECIFIC, Suffix.FAMILY_SPECIFIC))
members = capabilities | st.builds(Generation, st.integers(1, 99))
places: st.SearchStrategy[Comparison | OneOf] = st.one_of(
    st.builds(Comparison, orders, capabilities),
    st.builds(
        OneOf,
        st.lists(members, min_size=1, max_size=4, unique=True).map(
            lambda found: tuple(sorted(found, key=lambda m: (m.major, getattr(m, "minor", -1))))
        ),
        st.booleans(),
    ),
)
clauses: st.SearchStrategy[Clause] = st.one_of(
    places,
    # Targets with a suffix begin with 9.0 (`a`) and 10.0 (`f`); others are refused.
    st.builds(CodeFor, st.builds(Target, capabilities, specific)).filter(
        lambda clause: clause.target.capability.major >= (9 if clause.target.suffix is Suffix.ARCH_SPECIFIC else 10)
    ),
    st.builds(NamedFeature, st.sampled_from(sorted(tables().features))),
    st.builds(Limit, st.sampled_from(("smem", "sms", "memory")), operators, st.integers(0, 1 << 42)),
    st.builds(Version, st.just("driver"), operators, st.tuples(st.integers(300, 700), st.integers(0, 200))),
    st.builds(
        Version, st.sampled_from(("cuda", "toolkit")), operators, st.tuples(st.integers(9, 15), st.integers(0, 12))
    ),
    st.builds(Version, st.just("installed:torch"), operators, st.tuples(st.integers(0, 9), st.integers(0, 99))),
)
requirements = st.builds(
    Requirement,
    st.lists(st.lists(clauses, min_size=1, max_size=3, unique=True).map(tuple), min_size=1, max_size=3).map(tuple),
)
