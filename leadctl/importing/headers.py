"""What the columns of other people's files are called, in English and the six languages next to it.

A name is compared in its `folded` form: without case, accents and anything but letters and digits.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deliver_leads.contract import LEAD_FIELDS

FIELDS = frozenset(LEAD_FIELDS) - {"id", "customFields"}


def words(text: str) -> frozenset[str]:
    """Those of a text."""
    return frozenset(text.split())


# Of each field one text for each rank: where a file has columns of several ranks, the first rank that isn't
# empty counts. Inside a rank: English, German, French, Spanish, Portuguese, Italian, Dutch, as far as they
# have a word of their own. Not `state`: in most files that is a part of a country, at 7Targets it is the
# lead's state.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "name": (
        "firstname givenname givennames forename vorname vornamen rufname prenom prenoms nombre nombres "
        "nombredepila primernombre primeironome nomeproprio nome voornaam voornamen roepnaam",
        "name nom naam",
    ),
    "lastName": (
        "lastname surname familyname secondname nachname familienname zuname nomdefamille apellido apellidos "
        "primerapellido sobrenome apelido apelidos ultimonome nomedefamilia cognome achternaam familienaam",
    ),
    "email": (
        "emailid email emailaddress emailaddresses leademail workemail businessemail contactemail useremail "
        "primaryemail email1value email1address mail mailaddress emailadresse mailadresse emailgeschaftlich "
        "emailgeschaeftlich emaildienstlich emailberuflich emailprofessionnel emailpro courrielprofessionnel "
        "emailcorporativo emailempresarial emailprofissional emailaziendale emailprofessionale emailzakelijk "
        "adresseemail adressemail adresseelectronique courriel adressecourriel adressedecourriel correo "
        "correoelectronico direcciondecorreo direcciondecorreoelectronico direccioncorreoelectronico "
        "enderecodeemail enderecoemail correioeletronico correioelectronico enderecoeletronico "
        "indirizzoemail indirizzomail postaelettronica indirizzodipostaelettronica emailadres mailadres",
    ),
    "phone": (
        "phone phoneno phonenumber phone1value primaryphone businessphone workphone telephone "
        "telephonenumber tel telno telefon telefonnummer telnr telefonnr rufnummer festnetz "
        "telefongeschaftlich telefongeschaeftlich telefonberuflich numerodetelephone telephonefixe "
        "telephoneprofessionnel ndetelephone nodetelephone nodetelefono nodetelefone ndetelefone "
        "telefono numerodetelefono telefonofijo telefone numerodetelefone numeroditelefono telefoon "
        "telefoonnummer telefoonnr",
        "mobile mobilephone mobilenumber mobilephonenumber cell cellphone mobil mobiltelefon mobilnummer "
        "handy handynummer mobilfunk portable telephoneportable telephonemobile gsm movil celular "
        "telefonomovil telefonocelular numerodecelular telemovel cellulare telefonocellulare mobiel "
        "handynr mobilnr telmobil telportable telmobile telmovil numerodeportable numerodemovil "
        "nodetelemovel ndetelemovel numerodetelemovel numerodicellulare telcellulare mobielnr "
        "mobielnummer mobieletelefoon mobieltelefoonnummer",
    ),
    "assistantEmail": (
        "assistantemail assistant assistantemailid assistent assistentin assistentemail asistente assistente",
    ),
    "company": (
        "company companyname organization organisation organizationname organisationname account accountname "
        "firma firmenname unternehmen unternehmensname societe entreprise nomdelentreprise nomdelasociete "
        "raisonsociale empresa compania nombredelaempresa organizacion razonsocial nomedaempresa companhia "
        "organizacao razaosocial azienda societa nomeazienda ragionesociale ditta bedrijf bedrijfsnaam "
        "organisatie",
        "associatedcompany associatedcompanyprimary primaryassociatedcompany",
    ),
    "designation": (
        "designation jobtitle position funktion berufsbezeichnung stellenbezeichnung jobtitel poste fonction "
        "intituleduposte cargo puesto puestodetrabajo funcao ruolo posizione qualifica functie functietitel",
        "title",
    ),
    "scheduleName": ("schedulename sequence sequencename sequenz secuencia sequencia sequenza sequentie",),
    "source": (
        "source leadsource quelle leadquelle herkunft origine provenance origen fuente origem fonte bron "
        "herkomst",
    ),
}
# The first and the last name in one column; it is taken with --split-name only.
_FULL_NAMES = words(
    "fullname contactname contactfullname leadname customername contact contactperson vollstandigername "
    "vollstaendigername vorundnachname vornachname vornamenachname vornameundnachname ansprechpartner "
    "ansprechperson kontakt kontaktname nomcomplet nometprenom prenometnom nomprenom nombrecompleto "
    "nombreyapellido nombreyapellidos contacto nomecompleto nomesobrenome nomeesobrenome contato "
    "nomeecognome nomecognome contatto volledigenaam contactpersoon voorenachternaam"
)
# Beside one of the first, one of the second is a last name: "Vorname;Name", "Prénom;Nom".
_FIRST_BESIDE_LAST = {"vorname": "name", "prenom": "nom", "voornaam": "naam"}
WHY_IGNORED = {
    "startemailsendingdate": "7Targets' API has no field for it: its e-mails begin at once",
    "state": "in most files a part of a country; if it is the lead's state, use --map",
    "customfields": "use --map 'COLUMN=customFields.NAME'",
}
_CONSENT = re.compile(
    "consent|optin|optout|optedout|unsubscri|dono?t(?:contact|call|e?mail)|agree(?!ment)|permission|"
    "gdpr|dsgvo|rgpd|lgpd|newsletter|einwillig|zustimm|werbesperre|kontakterlaubnis|abgemeldet|desinscri|"
    "accepte|desabonn|consentim|consenso|acept|aceit|toestemming|akkoord|afgemeld"
)
_PARENTHESES = re.compile(r"\([^)]*\)|\[[^\]]*\]|\*")


@dataclass(frozen=True)
class Meaning:
    """A field, and how well a column of this name fits: the lowest rank is the best."""

    field: str
    rank: int


_MEANINGS: Mapping[str, Meaning] = {
    **{each.casefold(): Meaning(each, 0) for each in FIELDS - {"state"}},
    **{
        name: Meaning(field, rank)
        for field, ranks in _NAMES.items()
        for rank, names in enumerate(ranks)
        for name in names.split()
    },
}


def folded(name: str) -> str:
    """The form in which names are compared; the name itself if nothing is left of it."""
    plain = unicodedata.normalize("NFKD", name.casefold()) if not name.isascii() else name.casefold()
    return "".join(each for each in plain if each.isalnum()) or name.strip()


def meanings(columns: Collection[str]) -> list[Meaning | None]:
    """What each column means by its name alone, and beside the others; None for one that isn't known."""
    short = [_known_form(name) for name in columns]
    last_names = {last for first, last in _FIRST_BESIDE_LAST.items() if first in short}
    return [Meaning("lastName", 1) if each in last_names else _MEANINGS.get(each) for each in short]


def is_full_name(column: str) -> bool:
    """Whether it holds first and last name together."""
    return _known_form(column) in _FULL_NAMES


def is_consent(column: str) -> bool:
    """Whether it looks as if it said who may be written to."""
    return _CONSENT.search(folded(column)) is not None


def close_field(name: str) -> str | None:
    """The field that somebody meant who wrote this name."""
    meaning = _MEANINGS.get(folded(name))
    return meaning.field if meaning else None


def _known_form(column: str) -> str:
    """ "First Name* (required)" is a first name, too, "Phone 1" a phone, "Company / Account" a company."""
    bare = _PARENTHESES.sub("", column)
    for each in (column, bare, bare.rstrip("1 _")):
        if (short := folded(each)) in _MEANINGS or short in _FULL_NAMES:
            return short
    parts = [folded(each) for each in bare.split("/")]
    means_one_thing = len({_MEANINGS.get(each) for each in parts}) == 1 and parts[0] in _MEANINGS
    return parts[0] if means_one_thing else folded(bare)
