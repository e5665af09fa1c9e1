"""Imports: rows of a source into ``reviews`` and ``review_annotations``."""

from senti_tasks.warehouse.importing.annotations import annotate as annotate
from senti_tasks.warehouse.importing.incoming import REFUSALS_SHOWN as REFUSALS_SHOWN
from senti_tasks.warehouse.importing.incoming import ImportCounts as ImportCounts
from senti_tasks.warehouse.importing.incoming import ImportedRow as ImportedRow
from senti_tasks.warehouse.importing.merging import store as store
from senti_tasks.warehouse.importing.sources import has_source as has_source
from senti_tasks.warehouse.importing.sources import record_revision as record_revision
from senti_tasks.warehouse.importing.sources import require_own_table as require_own_table
from senti_tasks.warehouse.importing.sources import source_id as source_id
