"""Limits on option files: a file that somebody else wrote may choose settings, but not run code or use up memory.

An option file is a YAML file that Hydra reads. A file is shipped if it belongs to this package, Hydra or a plugin of
Hydra; only other files are checked. Permission to run code comes from the command line or the environment, never from a
file. `install` replaces functions of Hydra in every process. Three of the new ones call the old one, and check:

- `_load_config`, which reads one option file: its path, name, size, ``defaults`` and settings of Hydra;
- `_load_in_package`, which reads one option file and nests its settings under a package such as ``metric``: code, calls
  in ``${...}``, and the settings of Hydra again, because the package may be ``hydra``;
- `_compose_config`, which merges files and overrides: values, credentials, secrets and the number of ``${...}``.

The others save time. `_find_mode` composes a config only if the config could say that the command is a sweep. A
job of a sweep mostly has the options of an earlier job and other values, and Hydra applies the values last. Therefore
`_list_files` and `_merge_files` do the work before that once for the same options. `_share_sources` saves a copy of all
configs that Hydra defines in code.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.defaults_list import DefaultsList, create_defaults_list
from hydra._internal.hydra import Hydra
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.redact import is_secret
from transfer_exp.cli.settings import check_config, check_overrides
from transfer_exp.errors import InputError, has_credentials, one_line

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if (p / "config.yaml").is_file())
"""Folder of the shipped option files: next to the package in a checkout, inside it once installed."""

# Settings of Hydra that an option file may have.
_HYDRA_KEYS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.mode")
_SWEEP_AXES = "hydra.sweeper.params"
_LAUNCHER_KEYS = re.compile(
    r"hydra\.launcher\.(n_jobs|timeout_min|max_num_timeout|nodes|tasks_per_node|cpus_per_task|gpus_per_node|"
    r"gpus_per_task|mem_gb|partition|account|qos|constraint|array_parallelism)"
)
_LAUNCHER_VALUE = re.compile(r"[\w.:+,-]*")
_AXIS_NAME = re.compile(r"(?!hydra\b)[\w/]+(\.\w+)*")
_CODE_KEY = "architectures"
"""Key of the setting that names a Python file to execute, which an option file may not have."""
_ALLOWED_INTERPOLATION = re.compile(r"\$\{((oc\.env|oc\.select|now|hydra):|[^${}:]*\})")
"""A plain ``${key}``, or the start of a call of one of four resolvers, which run no code of a user."""
_ENVIRONMENT_VARIABLE = re.compile(r"oc\.env:\s*['\"]?(\w+)")
_MAX_BYTES = 1_000_000
_MAX_NODES, _MAX_LEVELS = 100_000, 50
_MAX_READS = 1000
"""Most files that are read to compose one config; usually there are about fifty."""
_MAX_INTERPOLATIONS = 50
"""Most interpolations of one config. Each can double the size of another one; the shipped files have about ten."""

_hydra_load_configuration = ConfigLoaderImpl.load_configuration
_hydra_load_config = CachingConfigRepository.load_config
_hydra_load_single_config = ConfigLoaderImpl._load_single_config
_hydra_list_files = create_defaults_list
_hydra_merge_files = ConfigLoaderImpl._compose_config_from_defaults_list

_shipped_files: dict[tuple[str, tuple[str, ...]], ConfigResult | None] = {}
"""Shipped files that were read, by key in Hydra's cache and search path; they do not change while a process runs."""
_shipped_lists: dict[tuple[object, ...], DefaultsList] = {}
"""Files of a config that has shipped files only, by its options; see `_list_files`."""
_shipped_configs: dict[tuple[object, ...], bytes] = {}
"""Pickle of the merged files of such a config, which takes a quarter of the time of a copy; see `_merge_files`."""
_MAX_CONFIGS = 256
"""Most entries of each of these two dictionaries; a pickle has about 17 kB."""


def install() -> None:
    """Replace the functions of Hydra that the top of this module lists."""
    Hydra.get_mode = _find_mode  # type: ignore[method-assign, assignment]
    ConfigLoaderImpl.load_configuration = _compose_config  # type: ignore[method-assign, assignment]
    CachingConfigRepository.load_config = _load_config  # type: ignore[method-assign, assignment]
    ConfigLoaderImpl._load_single_config = _load_in_package  # type: ignore[method-assign, assignment]
    CachingConfigRepository.__init__ = _share_sources  # type: ignore[method-assign, assignment]
    config_loader_impl.create_defaults_list = _list_files  # type: ignore[attr-defined]
    ConfigLoaderImpl._compose_config_from_defaults_list = _merge_files  # type: ignore[method-assign, assignment]


def _find_mode(application: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
    """Return the mode (single run or sweep) that ``hydra.mode`` sets, or None; this replaces `Hydra.get_mode`.

    Hydra composes the whole config to find the mode. No shipped file sets one, so the config is only composed if the
    arguments name ``hydra.mode`` or further folders of option files. Raises `InputError` like `_load_config`.
    """
    paths = [item.path or "" for item in application.config_loader.get_search_path().get_path()]
    if all(map(_is_shipped, paths)) and not any("hydra.mode" in o or "hydra.searchpath" in o for o in overrides):
        return None
    try:
        config = application.compose_config(config_name, overrides, RunMode.MULTIRUN, validate_sweep_overrides=False)
        return config.hydra.mode
    except InputError:
        raise
    except Exception:  # Hydra composes the config again, and reports the error.
        return None


def _compose_config(
    loader: ConfigLoaderImpl, config_name: str | None, overrides: list[str], *arguments: Any, **keywords: Any
) -> DictConfig:
    """Compose and check a config like `ConfigLoaderImpl.load_configuration`; InputError if a check fails."""
    check_overrides(overrides, loader.repository.group_exists)
    try:
        config = _hydra_load_configuration(loader, config_name, overrides, *arguments, **keywords)
        plain = OmegaConf.to_container(config)
    except RecursionError as error:
        raise InputError("the option files list each other, or nest, without an end: correct their defaults") from error
    except (InputError, UnicodeDecodeError):
        raise
    except (ValueError, TypeError) as error:  # Hydra's own, for an argument in a form that it does not expect
        raise InputError(f"the arguments cannot be read ({one_line(str(error))}): write KEY=VALUE") from error
    except KeyError as error:
        raise InputError(f"hydra.job.env_copy names {error}, which is not set: set it in the environment") from error
    assert isinstance(plain, dict)
    hydra_config = plain.pop("hydra")  # its own interpolations and values are not a user's
    interpolations = sum(value.count("${") for _, value in _iter_values(plain) if isinstance(value, str))
    if interpolations > _MAX_INTERPOLATIONS:
        raise InputError(f"the option files have over {_MAX_INTERPOLATIONS} interpolations ${{..}}: write values")
    for key, value in _iter_values(plain):
        if isinstance(value, str) and has_credentials(value):
            raise InputError(f"{key} contains credentials, and settings are written to files: leave them out")
        for name in _ENVIRONMENT_VARIABLE.findall(value) if isinstance(value, str) else ():
            if is_secret(name):
                raise InputError(f"{name} looks like a secret, and settings are written to files: leave {key} out")
    check_config({str(key): value for key, value in plain.items()}, hydra_config)
    return config


def _load_config(repository: CachingConfigRepository, config_path: str) -> ConfigResult | None:
    """Read one option file and check it instead of `CachingConfigRepository.load_config`.

    Raises `InputError` if a check that the top of this module lists fails.
    """
    # Counted in an attribute added to the repository, which Hydra creates anew for each config.
    reads = vars(repository)["reads"] = vars(repository).get("reads", 0) + 1
    if reads > _MAX_READS:
        raise InputError(f"the defaults of {config_path}.yaml list each other without an end: correct its defaults")
    path = PurePosixPath(config_path)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(
            f"config {config_path} is outside of the folders of options: name its folder with --config-dir"
        )
    cache_key = f"config_path={config_path}"  # that of Hydra
    if cache_key not in repository.cache:
        _check_name(repository, path)
        source = repository.delegate._find_object_source(config_path, ObjectType.CONFIG)  # type: ignore[attr-defined]
        if source is not None and source.scheme() == "file" and not _is_shipped(f"file://{source.path}"):
            file = Path(source.path, source._normalize_file_name(config_path))
            _check_yaml(file)
            with file.open(encoding="utf-8") as stream:
                _check_defaults(f"{config_path}.yaml", yaml.safe_load(stream))
    shipped_key = cache_key, tuple(source.path for source in repository.get_sources())
    if shipped_key in _shipped_files and cache_key not in repository.cache:
        repository.cache[cache_key] = deepcopy(_shipped_files[shipped_key])  # Hydra merges other files into the result
    result = _hydra_load_config(repository, config_path)
    if shipped_key not in _shipped_files and result is not None and _is_shipped(result.path):
        _shipped_files[shipped_key] = deepcopy(result)
    if result is not None and not _is_shipped(result.path) and OmegaConf.is_dict(result.config):
        # `_load_in_package` would be too late, because Hydra reads hydra.searchpath before.
        _check_hydra(f"{config_path}.yaml", "hydra", OmegaConf.to_container(result.config).get("hydra", {}))  # type: ignore[union-attr]
    return result


def _check_name(repository: CachingConfigRepository, path: PurePosixPath) -> None:
    """Refuse an option file of the user with the name of a shipped one, which Hydra would silently read instead."""
    if len(path.parts) == 1:
        return
    folders = [source.path for source in repository.get_sources() if source.scheme() == "file"]
    with_file = [folder for folder in folders if Path(folder, f"{path}.yaml").is_file()]
    of_user = [folder for folder in with_file if not _is_shipped(f"file://{folder}")]
    if of_user and len(of_user) < len(with_file):
        raise InputError(f"{of_user[0]}/{path}.yaml has the name of an option of transfer_exp: rename it")


def _load_in_package(loader: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
    """Read one option file nested under its package, and check it instead of `ConfigLoaderImpl._load_single_config`.

    Raises `InputError` like `_load_config`.
    """
    result = _hydra_load_single_config(loader, default, repo)
    if not _is_shipped(result.path) and OmegaConf.is_dict(result.config):
        file, content = f"{default.config_path}.yaml", OmegaConf.to_container(result.config)
        assert isinstance(content, dict)
        _check_hydra(file, "hydra", content.get("hydra", {}))
        for key, value in _iter_values(content):
            if key.rpartition(".")[2] == _CODE_KEY and value is not None:
                raise InputError(f"{file} may not set {key}, which is code that runs: set it on the command line")
            if isinstance(value, str) and value.count("${") != len(_ALLOWED_INTERPOLATION.findall(value)):
                fix = "write ${KEY}, or ${...} with oc.env, oc.select, now or hydra"
                raise InputError(f"{file} may not set {key} to {value}: {fix}")
    return result


def _share_sources(repository: CachingConfigRepository, delegate: IConfigRepository) -> None:
    """Let a repository read the sources of another one; this replaces a method of Hydra, which copies them."""
    repository.delegate, repository.cache = copy(delegate), {}  # new sources do not change those of the other one


def _list_files(
    repo: IConfigRepository,
    config_name: str | None,
    overrides_list: list[Override],
    prepend_hydra: bool,
    skip_missing: bool,
) -> DefaultsList:
    """List the files of a config; this replaces a function of Hydra. Without files of a user, options decide the list.

    An override of a config group chooses an option. All others change a value of the merged files.
    """
    is_choice = [not isinstance(o.value(), Mapping) and repo.group_exists(o.key_or_group) for o in overrides_list]
    options = tuple(o.input_line for o, chosen in zip(overrides_list, is_choice, strict=True) if chosen)
    sources = _shipped_sources(repo)
    key = (sources, config_name, options, prepend_hydra, skip_missing)
    if sources is None or key not in _shipped_lists:
        listed = _hydra_list_files(repo, config_name, overrides_list, prepend_hydra, skip_missing)
        if sources is not None:
            _add(_shipped_lists, key, replace(listed, config_overrides=[]))
        return listed
    values = [o for o, chosen in zip(overrides_list, is_choice, strict=True) if not chosen]
    return replace(_shipped_lists[key], config_overrides=[o for o in values if not o.is_sweep_override()])


def _merge_files(loader: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
    """Merge the files of a config; this replaces a method of Hydra. Raises `InputError` like `_load_in_package`."""
    sources = _shipped_sources(repo)
    key = (sources, *map(repr, defaults))
    if sources is None or key not in _shipped_configs:
        merged = _hydra_merge_files(loader, defaults, repo)
        if sources is not None:
            # Hydra imports the plugin of a launcher twice: a config with the first of its two classes has no pickle.
            with suppress(pickle.PicklingError):
                _add(_shipped_configs, key, pickle.dumps(merged))
        return merged
    merged = pickle.loads(_shipped_configs[key])
    assert isinstance(merged, DictConfig)
    return merged


def _shipped_sources(repo: IConfigRepository) -> tuple[str, ...] | None:
    """Return the folders of configs if all of them belong to this package or to Hydra, otherwise None."""
    sources = [f"{source.scheme()}://{source.path}" for source in repo.get_sources()]
    return tuple(sources) if all(map(_is_shipped, sources)) else None


def _add(cache: dict[tuple[object, ...], Any], key: tuple[object, ...], value: object) -> None:
    """Add a value to a cache, without its oldest one if it is full."""
    if len(cache) >= _MAX_CONFIGS:
        del cache[next(iter(cache))]
    cache[key] = value


def _is_shipped(path: str) -> bool:
    """Return whether a folder of option files, written as SCHEME://FOLDER, is of this package, Hydra or a plugin."""
    scheme, _, folder = path.partition("://")
    if scheme == "file":
        return Path(folder).resolve() == CONF
    # pkg:// is a folder of a Python package. Other schemes stand for options that are defined in code, not in files.
    return scheme != "pkg" or folder.split(".")[0] in ("hydra", "hydra_plugins")


def _check_hydra(file: str, key: str, value: Any) -> None:
    """Refuse settings of Hydra in a file, except folders, axes of a sweep, and plain settings of a launcher."""
    if isinstance(value, Mapping) and key == _SWEEP_AXES:
        for axis, values in value.items():
            if not _AXIS_NAME.fullmatch(str(axis)) or any(word in f"{axis}={values}" for word in ("${", _CODE_KEY)):
                raise InputError(f"{file} may not sweep over {axis}={values}: write it on the command line")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check_hydra(file, f"{key}.{name}", item)
    else:
        is_launcher_setting = _LAUNCHER_KEYS.fullmatch(key) and _LAUNCHER_VALUE.fullmatch(str(value))
        if not isinstance(value, str | int | float | None) or not (key in _HYDRA_KEYS or is_launcher_setting):
            raise InputError(f"{file} may not set {key}: set it on the command line, if you trust it")


def _check_yaml(path: Path) -> None:
    """Refuse a file that is large, or that is large once each alias (``*NAME``) is replaced by its anchor's content."""
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path.name} has over {_MAX_BYTES // 1_000_000} MB: an option is a small file")
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    with path.open(encoding="utf-8") as stream:
        for event in yaml.parse(stream, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                if event.anchor not in sizes:
                    raise InputError(
                        f"{path.name} has an alias *{event.anchor} for something that contains it: remove it"
                    )
                total += sizes[event.anchor]
            elif isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, total))
                total += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = open_nodes.pop()
                sizes |= {anchor: total - before} if anchor else {}
            elif isinstance(event, yaml.ScalarEvent):
                sizes |= {event.anchor: 1} if event.anchor else {}
                total += 1
            if total > _MAX_NODES or len(open_nodes) > _MAX_LEVELS:
                raise InputError(
                    f"{path.name} stands for over {_MAX_NODES} values, or over {_MAX_LEVELS} levels: write it shorter"
                )


def _check_defaults(file: str, content: Any) -> None:
    """Refuse content that is not a mapping, and ``defaults`` that are not a list of NAME or GROUP: NAME (or null)."""
    if content is None:
        return
    if not isinstance(content, Mapping):
        raise InputError(f"{file} is not a mapping: write KEY: VALUE in each line")
    defaults = content.get("defaults", [])
    if not isinstance(defaults, list) or not all(map(_is_default, defaults)):
        raise InputError(
            one_line(f"{file} has defaults: {defaults}, which Hydra cannot read: write a list of NAME or GROUP: NAME")
        )


def _is_default(item: Any) -> bool:
    """Return whether Hydra can read an entry of ``defaults``: NAME, GROUP: NAME, GROUP: [NAME, ...] or GROUP: null."""
    if not isinstance(item, Mapping):
        return _is_option_name(item)
    if len(item) != 1:
        return False
    ((group, names),) = item.items()
    are_names = names is None or all(map(_is_option_name, names if isinstance(names, list) else [names]))
    return isinstance(group, str) and bool(group) and are_names


def _is_option_name(name: Any) -> bool:
    """Return whether a value is a name; a missing one (``???``) or an interpolation is not."""
    return isinstance(name, str) and name != "???" and "${" not in name


def _iter_values(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``content`` and every value inside its mappings and lists, each with its dotted key."""
    yield key, content
    items = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, list) else ()
    for name, item in items:
        yield from _iter_values(item, f"{key}.{name}" if key else str(name))
