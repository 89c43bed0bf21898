"""The ledger's tables: dumb rows, one shard a transaction; every key and unique constraint holds the shard.

Trust, beside each: `entry`, `node`: append only, proven by the signed head. `head`: the lock, and the last signed
checkpoint. `opening`, `patient`: ciphertext or keyed hashes, useless without the keys. `data_key`: wrapped by the master
key, erasable. The rest is derived state that the log explains.
"""

from services.consent.tables.consents import Assertion as Assertion
from services.consent.tables.consents import Consent as Consent
from services.consent.tables.consents import ConsentRequest as ConsentRequest
from services.consent.tables.consents import GrantRequest as GrantRequest
from services.consent.tables.consents import QuotaUse as QuotaUse
from services.consent.tables.consents import Revision as Revision
from services.consent.tables.log import Authorization as Authorization
from services.consent.tables.log import DataKey as DataKey
from services.consent.tables.log import Entry as Entry
from services.consent.tables.log import Head as Head
from services.consent.tables.log import Node as Node
from services.consent.tables.log import Opening as Opening
from services.consent.tables.log import RegistryRecord as RegistryRecord
from services.consent.tables.log import Trace as Trace
from services.consent.tables.patients import Alias as Alias
from services.consent.tables.patients import Identity as Identity
from services.consent.tables.patients import Pairing as Pairing
from services.consent.tables.patients import Patient as Patient
from services.consent.tables.patients import Representative as Representative
from services.consent.tables.rows import Row as Row
from services.consent.tables.rows import table as table

metadata = Row.metadata
