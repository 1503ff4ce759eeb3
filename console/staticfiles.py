"""How the pages' files are served: under names that carry their hash, ES imports included. No bundler."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedFiles(CompressedManifestStaticFilesStorage):
    """Source maps stay out: vendored files name theirs, which are not shipped."""

    support_js_module_import_aggregation = True
    patterns = tuple(
        (files, tuple(rule for rule in rules if "sourceMappingURL" not in str(rule)))
        for files, rules in CompressedManifestStaticFilesStorage.patterns
    )
