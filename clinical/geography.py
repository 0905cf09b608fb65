"""Nigeria's 36 states and the FCT, their 774 local government areas (LGAs), and the spellings by which they are known.

Names and facts only. A spelling that is not in these tables is unknown; nothing is guessed by likeness, since
near-twins are common (Kaura and Kauru are two LGAs of Kaduna).
"""

import re
import unicodedata

# Approximate middle of each state: (degrees north, degrees east).
CENTRES: dict[str, tuple[float, float]] = {
    "ABIA": (5.43, 7.49),
    "ADAMAWA": (9.16, 12.29),
    "AKWA IBOM": (4.99, 7.80),
    "ANAMBRA": (6.25, 6.94),
    "BAUCHI": (11.00, 9.33),
    "BAYELSA": (4.83, 5.95),
    "BENUE": (7.30, 8.81),
    "BORNO": (11.87, 13.43),
    "CROSS RIVER": (5.79, 8.40),
    "DELTA": (5.76, 5.50),
    "EBONYI": (6.24, 8.07),
    "EDO": (6.67, 5.87),
    "EKITI": (7.70, 5.30),
    "ENUGU": (6.52, 7.39),
    "FCT": (9.01, 7.19),
    "GOMBE": (10.43, 11.22),
    "IMO": (5.57, 7.03),
    "JIGAWA": (11.98, 9.62),
    "KADUNA": (10.26, 7.86),
    "KANO": (11.57, 8.54),
    "KATSINA": (12.24, 7.50),
    "KEBBI": (11.69, 3.97),
    "KOGI": (7.64, 6.85),
    "KWARA": (9.09, 4.57),
    "LAGOS": (6.53, 3.71),
    "NASARAWA": (8.59, 8.21),
    "NIGER": (9.77, 5.71),
    "OGUN": (7.13, 3.26),
    "ONDO": (6.82, 4.87),
    "OSUN": (7.54, 4.52),
    "OYO": (8.14, 3.61),
    "PLATEAU": (9.38, 9.63),
    "RIVERS": (5.02, 6.84),
    "SOKOTO": (12.74, 5.24),
    "TARABA": (8.06, 10.39),
    "YOBE": (11.97, 11.52),
    "ZAMFARA": (12.01, 6.05),
}

STATES: tuple[str, ...] = tuple(CENTRES)


def in_words(state: str) -> str:
    """A state as people write it; nothing stands for the country."""
    return "Nigeria" if not state else state if state == "FCT" else state.title()


# ISO 3166-2:NG without "NG-".
_ISO = (
    "AB ABIA; AD ADAMAWA; AK AKWA IBOM; AN ANAMBRA; BA BAUCHI; BY BAYELSA; BE BENUE; BO BORNO; CR CROSS RIVER; "
    "DE DELTA; EB EBONYI; ED EDO; EK EKITI; EN ENUGU; FC FCT; GO GOMBE; IM IMO; JI JIGAWA; KD KADUNA; KN KANO; "
    "KT KATSINA; KE KEBBI; KO KOGI; KW KWARA; LA LAGOS; NA NASARAWA; NI NIGER; OG OGUN; ON ONDO; OS OSUN; "
    "OY OYO; PL PLATEAU; RI RIVERS; SO SOKOTO; TA TARABA; YO YOBE; ZA ZAMFARA"
)
_STATE_ALIASES = {
    "AKWA IBOM": "Akwa Ibon",
    "ANAMBRA": "Anambara",
    "BAYELSA": "Bayalsa",
    "BORNO": "Bornu",
    "CROSS RIVER": "Cross Rivers",
    "FCT": "Abuja;FCT Abuja;Abuja FCT;Abuja (Federal Capital Territory);Federal Capital Territory;"
    "Federal Capital Territory Abuja;Federal Capital Territory (FCT);Abuja Capital Territory;Federal Capital",
    "KATSINA": "Kastina",
    "KEBBI": "NG-KB",  # the national health code lists have it so
    "KWARA": "Kwarra",
    "NASARAWA": "Nassarawa;Nasarrawa;Nasarawwa",
    "PLATEAU": "Plateu",
    "RIVERS": "River",
    "ZAMFARA": "Zamfra;Zanfara",
}

LGAS: dict[str, tuple[str, ...]] = {
    state: tuple(names.split(";"))
    for state, names in {
        "ABIA": (
            "Aba North;Aba South;Arochukwu;Bende;Ikwuano;Isiala Ngwa North;Isiala Ngwa South;Isuikwuato;Obingwa;"
            "Ohafia;Osisioma Ngwa;Ugwunagbo;Ukwa East;Ukwa West;Umu-Nneochi;Umuahia North;Umuahia South"
        ),
        "ADAMAWA": (
            "Demsa;Fufore;Ganye;Girei;Gombi;Guyuk;Hong;Jada;Lamurde;Madagali;Maiha;Mayo-Belwa;Michika;Mubi North;"
            "Mubi South;Numan;Shelleng;Song;Toungo;Yola North;Yola South"
        ),
        "AKWA IBOM": (
            "Abak;Eastern Obolo;Eket;Esit Eket;Essien Udim;Etim Ekpo;Etinan;Ibeno;Ibesikpo Asutan;Ibiono Ibom;Ika;"
            "Ikono;Ikot Abasi;Ikot Ekpene;Ini;Itu;Mbo;Mkpat Enin;Nsit Atai;Nsit Ibom;Nsit Ubium;Obot Akara;Okobo;"
            "Onna;Oron;Oruk Anam;Udung Uko;Ukanafun;Uruan;Urue Offong/Oruko;Uyo"
        ),
        "ANAMBRA": (
            "Aguata;Anambra East;Anambra West;Anaocha;Awka North;Awka South;Ayamelum;Dunukofia;Ekwusigo;"
            "Idemili North;Idemili South;Ihiala;Njikoka;Nnewi North;Nnewi South;Ogbaru;Onitsha North;Onitsha South;"
            "Orumba North;Orumba South;Oyi"
        ),
        "BAUCHI": (
            "Alkaleri;Bauchi;Bogoro;Dambam;Darazo;Dass;Gamawa;Ganjuwa;Giade;Itas/Gadau;Jama'are;Katagum;Kirfi;Misau;"
            "Ningi;Shira;Tafawa Balewa;Toro;Warji;Zaki"
        ),
        "BAYELSA": "Brass;Ekeremor;Kolokuma/Opokuma;Nembe;Ogbia;Sagbama;Southern Ijaw;Yenagoa",
        "BENUE": (
            "Ado;Agatu;Apa;Buruku;Gboko;Guma;Gwer East;Gwer West;Katsina-Ala;Konshisha;Kwande;Logo;Makurdi;Obi;"
            "Ogbadibo;Ohimini;Oju;Okpokwu;Otukpo;Tarka;Ukum;Ushongo;Vandeikya"
        ),
        "BORNO": (
            "Abadam;Askira/Uba;Bama;Bayo;Biu;Chibok;Damboa;Dikwa;Gubio;Guzamala;Gwoza;Hawul;Jere;Kaga;Kala Balge;"
            "Konduga;Kukawa;Kwaya/Kusar;Mafa;Magumeri;Maiduguri;Marte;Mobbar;Monguno;Ngala;Nganzai;Shani"
        ),
        "CROSS RIVER": (
            "Abi;Akamkpa;Akpabuyo;Bakassi;Bekwarra;Biase;Boki;Calabar Municipal;Calabar South;Etung;Ikom;Obanliku;"
            "Obubra;Obudu;Odukpani;Ogoja;Yakurr;Yala"
        ),
        "DELTA": (
            "Aniocha North;Aniocha South;Bomadi;Burutu;Ethiope East;Ethiope West;Ika North East;Ika South;"
            "Isoko North;Isoko South;Ndokwa East;Ndokwa West;Okpe;Oshimili North;Oshimili South;Patani;Sapele;Udu;"
            "Ughelli North;Ughelli South;Ukwuani;Uvwie;Warri North;Warri South;Warri South West"
        ),
        "EBONYI": (
            "Abakaliki;Afikpo North;Afikpo South;Ebonyi;Ezza North;Ezza South;Ikwo;Ishielu;Ivo;Izzi;Ohaozara;Ohaukwu;"
            "Onicha"
        ),
        "EDO": (
            "Akoko Edo;Egor;Esan Central;Esan North East;Esan South East;Esan West;Etsako Central;Etsako East;"
            "Etsako West;Igueben;Ikpoba/Okha;Oredo;Orhionmwon;Ovia North East;Ovia South West;Owan East;Owan West;"
            "Uhunmwonde"
        ),
        "EKITI": (
            "Ado Ekiti;Aiyekire;Efon;Ekiti East;Ekiti South West;Ekiti West;Emure;Ido/Osi;Ijero;Ikere;Ikole;"
            "Ilejemeje;Irepodun/Ifelodun;Ise/Orun;Moba;Oye"
        ),
        "ENUGU": (
            "Aninri;Awgu;Enugu East;Enugu North;Enugu South;Ezeagu;Igbo Etiti;Igbo Eze North;Igbo Eze South;Isi Uzo;"
            "Nkanu East;Nkanu West;Nsukka;Oji-River;Udenu;Udi;Uzo-Uwani"
        ),
        "FCT": "Abaji;Abuja Municipal;Bwari;Gwagwalada;Kuje;Kwali",
        "GOMBE": "Akko;Balanga;Billiri;Dukku;Funakaye;Gombe;Kaltungo;Kwami;Nafada;Shongom;Yamaltu/Deba",
        "IMO": (
            "Aboh Mbaise;Ahiazu Mbaise;Ehime Mbano;Ezinihitte Mbaise;Ideato North;Ideato South;Ihitte Uboma;Ikeduru;"
            "Isiala Mbano;Isu;Mbaitoli;Ngor Okpala;Njaba;Nkwerre;Nwangele;Obowo;Oguta;Ohaji Egbema;Okigwe;Onuimo;"
            "Orlu;Orsu;Oru East;Oru West;Owerri Municipal;Owerri North;Owerri West"
        ),
        "JIGAWA": (
            "Auyo;Babura;Birnin Kudu;Birniwa;Buji;Dutse;Gagarawa;Garki;Gumel;Guri;Gwaram;Gwiwa;Hadejia;Jahun;"
            "Kafin Hausa;Kaugama;Kazaure;Kirika Samma;Kiyawa;Maigatari;Malam Madori;Miga;Ringim;Roni;Sule-Tankarkar;"
            "Taura;Yankwashi"
        ),
        "KADUNA": (
            "Birnin Gwari;Chikun;Giwa;Igabi;Ikara;Jaba;Jema'a;Kachia;Kaduna North;Kaduna South;Kagarko;Kajuru;Kaura;"
            "Kauru;Kubau;Kudan;Lere;Makarfi;Sabon Gari;Sanga;Soba;Zangon Kataf;Zaria"
        ),
        "KANO": (
            "Ajingi;Albasu;Bagwai;Bebeji;Bichi;Bunkure;Dala;Danbata;Dawaki Kudu;Dawaki Tofa;Doguwa;Fagge;Gabasawa;"
            "Garko;Garun Malam;Gaya;Gezawa;Gwale;Gwarzo;Kabo;Kano Municipal;Karaye;Kibiya;Kiru;Kumbotso;Kunchi;Kura;"
            "Madobi;Makoda;Minjibir;Nasarawa;Rano;Rimin Gado;Rogo;Shanono;Sumaila;Takai;Tarauni;Tofa;Tsanyawa;"
            "Tudun Wada;Ungogo;Warawa;Wudil"
        ),
        "KATSINA": (
            "Bakori;Batagarawa;Batsari;Baure;Bindawa;Charanchi;Dan Musa;Dandume;Danja;Daura;Dutsi;Dutsin-Ma;Faskari;"
            "Funtua;Ingawa;Jibia;Kafur;Kaita;Kankara;Kankia;Katsina;Kurfi;Kusada;Mai'adua;Malumfashi;Mani;Mashi;"
            "Matazu;Musawa;Rimi;Sabuwa;Safana;Sandamu;Zango"
        ),
        "KEBBI": (
            "Aliero;Arewa Dandi;Argungu;Augie;Bagudo;Birnin Kebbi;Bunza;Dandi;Fakai;Gwandu;Jega;Kalgo;Koko/Besse;"
            "Maiyama;Ngaski;Sakaba;Shanga;Suru;Wasagu/Danko;Yauri;Zuru"
        ),
        "KOGI": (
            "Adavi;Ajaokuta;Ankpa;Bassa;Dekina;Ibaji;Idah;Igalamela/Odolu;Ijumu;Kabba/Bunu;Kogi;Lokoja;Mopa-Muro;Ofu;"
            "Ogori/Magongo;Okehi;Okene;Olamaboro;Omala;Yagba East;Yagba West"
        ),
        "KWARA": (
            "Asa;Baruten;Edu;Ekiti;Ifelodun;Ilorin East;Ilorin South;Ilorin West;Irepodun;Isin;Kaiama;Moro;Offa;"
            "Oke-Ero;Oyun;Patigi"
        ),
        "LAGOS": (
            "Agege;Ajeromi/Ifelodun;Alimosho;Amuwo-Odofin;Apapa;Badagry;Epe;Eti-Osa;Ibeju/Lekki;Ifako-Ijaye;Ikeja;"
            "Ikorodu;Kosofe;Lagos Island;Lagos Mainland;Mushin;Ojo;Oshodi/Isolo;Somolu;Surulere"
        ),
        "NASARAWA": "Akwanga;Awe;Doma;Karu;Keana;Keffi;Kokona;Lafia;Nasarawa;Nasarawa Eggon;Obi;Toto;Wamba",
        "NIGER": (
            "Agaie;Agwara;Bida;Borgu;Bosso;Chanchaga;Edatti;Gbako;Gurara;Katcha;Kontagora;Lapai;Lavun;Magama;Mariga;"
            "Mashegu;Mokwa;Munya;Paikoro;Rafi;Rijau;Shiroro;Suleja;Tafa;Wushishi"
        ),
        "OGUN": (
            "Abeokuta North;Abeokuta South;Ado-Odo/Ota;Egbado North;Egbado South;Ewekoro;Ifo;Ijebu East;Ijebu North;"
            "Ijebu North East;Ijebu Ode;Ikenne;Imeko/Afon;Ipokia;Obafemi/Owode;Odeda;Odogbolu;Ogun Water Side;"
            "Remo North;Sagamu"
        ),
        "ONDO": (
            "Akoko North East;Akoko North West;Akoko South East;Akoko South West;Akure North;Akure South;Ese-Odo;"
            "Idanre;Ifedore;Ilaje;Ileoluji/Okeigbo;Irele;Odigbo;Okitipupa;Ondo East;Ondo West;Ose;Owo"
        ),
        "OSUN": (
            "Atakumosa East;Atakumosa West;Ayedaade;Ayedire;Boluwaduro;Boripe;Ede North;Ede South;Egbedore;Ejigbo;"
            "Ife Central;Ife East;Ife North;Ife South;Ifedayo;Ifelodun;Ila;Ilesa East;Ilesa West;Irepodun;Irewole;"
            "Isokan;Iwo;Obokun;Odo-Otin;Ola-Oluwa;Olorunda;Oriade;Orolu;Osogbo"
        ),
        "OYO": (
            "Afijio;Akinyele;Atiba;Atisbo;Egbeda;Ibadan North;Ibadan North East;Ibadan North West;Ibadan South East;"
            "Ibadan South West;Ibarapa Central;Ibarapa East;Ibarapa North;Ido;Irepo;Iseyin;Itesiwaju;Iwajowa;Kajola;"
            "Lagelu;Ogbomoso North;Ogbomoso South;Ogo-Oluwa;Olorunsogo;Oluyole;Ona-Ara;Oorelope;Ori Ire;Oyo East;"
            "Oyo West;Saki East;Saki West;Surulere"
        ),
        "PLATEAU": (
            "Barikin Ladi;Bassa;Bokkos;Jos East;Jos North;Jos South;Kanam;Kanke;Langtang North;Langtang South;Mangu;"
            "Mikang;Pankshin;Qua'an Pan;Riyom;Shendam;Wase"
        ),
        "RIVERS": (
            "Abua-Odual;Ahoada East;Ahoada West;Akuku Toru;Andoni;Asari-Toru;Bonny;Degema;Eleme;Emohua;Etche;Gokana;"
            "Ikwerre;Khana;Obio/Akpor;Ogba/Egbema/Ndoni;Ogu/Bolo;Okrika;Omuma;Opobo/Nkoro;Oyigbo;Port Harcourt;Tai"
        ),
        "SOKOTO": (
            "Binji;Bodinga;Dange/Shuni;Gada;Goronyo;Gudu;Gwadabawa;Illela;Isa;Kebbe;Kware;Rabah;Sabon Birni;Shagari;"
            "Silame;Sokoto North;Sokoto South;Tambuwal;Tangaza;Tureta;Wamakko;Wurno;Yabo"
        ),
        "TARABA": (
            "Ardo-Kola;Bali;Donga;Gashaka;Gassol;Ibi;Jalingo;Karim-Lamido;Kurmi;Lau;Sardauna;Takum;Ussa;Wukari;Yorro;"
            "Zing"
        ),
        "YOBE": (
            "Bade;Bursari;Damaturu;Fika;Fune;Geidam;Gujba;Gulani;Jakusko;Karasuwa;Machina;Nangere;Nguru;Potiskum;"
            "Tarmuwa;Yunusari;Yusufari"
        ),
        "ZAMFARA": (
            "Anka;Bakura;Birnin Magaji;Bukkuyum;Bungudu;Gummi;Gusau;Kaura Namoda;Maradun;Maru;Shinkafi;Talata Mafara;"
            "Tsafe;Zurmi"
        ),
    }.items()
}

# Other spellings in use: transliterations, old names, misspellings seen in lists.
_LGA_ALIASES: dict[str, dict[str, str]] = {
    "ABIA": {
        "Isuikwuato": "Isiukwuato;Isuikwato",
        "Obingwa": "Obi Nwa",
        "Osisioma Ngwa": "Osisioma",
        "Umu-Nneochi": "Umu-Neochi",
    },
    "ADAMAWA": {"Ganye": "Ganaye", "Girei": "Girie;Gireri", "Fufore": "Fofure"},
    "AKWA IBOM": {"Onna": "Ona"},
    "BAUCHI": {"Dambam": "Damban", "Itas/Gadau": "Itas", "Jama'are": "Jamare"},
    "BAYELSA": {"Yenagoa": "Yenegoa"},
    "BENUE": {"Otukpo": "Oturkpo"},
    "BORNO": {"Maiduguri": "Maiduguri Metropolitan Council;MMC", "Kaga": "Kagga"},
    "CROSS RIVER": {
        "Bekwarra": "Bekwara",
        "Calabar Municipal": "Calabar Municipality",
        "Yala": "Yala Cross",
        "Yakurr": "Yakuur;Yakur",
    },
    "EDO": {"Uhunmwonde": "Uhunmwode;Uhumwonde", "Orhionmwon": "Orhiomwon"},
    "EKITI": {
        "Aiyekire": "Gboyin;Aiyekire (Gbonyin);Gbonyin",
        "Ido/Osi": "Idosi-Osi",
        "Ilejemeje": "Ilejemeji;Ilemeji",
        "Efon": "Efon Alaaye",
    },
    "FCT": {"Abuja Municipal": "Municipal;AMAC;Abuja Municipal Area Council;Abuja Metropolitan"},
    "GOMBE": {"Shongom": "Shomgom", "Yamaltu/Deba": "Yalmaltu/Deba"},
    "IMO": {"Ezinihitte Mbaise": "Ezinihitte", "Onuimo": "Unuimo", "Mbaitoli": "Mbatoli"},
    "JIGAWA": {
        "Birnin Kudu": "Birni Kudu",
        "Birniwa": "Biriniwa",
        "Malam Madori": "Malam Maduri",
        "Kirika Samma": "Kiri Kasama;Kirikassama",
    },
    "KADUNA": {"Makarfi": "Markafi", "Zangon Kataf": "Zango-Kataf"},
    "KANO": {
        "Danbata": "Dambatta",
        "Dawaki Kudu": "Dawakin Kudu",
        "Dawaki Tofa": "Dawakin Tofa",
        "Garun Malam": "Garum Malam;Garum Mallam;Garun Mallam",
        "Nasarawa": "Nassarawa",
        "Takai": "Takali",
        "Tudun Wada": "Tundun Wada",
        "Ungogo": "Ungongo",
        "Kano Municipal": "Kano Metropolitan",
        "Madobi": "Madobbi",
    },
    "KATSINA": {
        "Malumfashi": "Malufashi;Malunfashi",
        "Matazu": "Matazuu",
        "Mai'adua": "Maiaduwa",
        "Jibia": "Jibiya",
        "Batsari": "Batsarri",
        "Charanchi": "Cheranchi",
    },
    "KEBBI": {"Aliero": "Aleiro", "Arewa Dandi": "Arewa", "Wasagu/Danko": "Danko/Wasagu", "Koko/Besse": "Koko"},
    "KOGI": {
        "Kogi": "Kogi Koton-Karfe;Koton Karfe",
        "Mopa-Muro": "Mopa Moro",
        "Ogori/Magongo": "Ogori Mangogo;Ogori/Mangongo",
        "Olamaboro": "Olamabolo",
    },
    "KWARA": {"Patigi": "Pategi"},
    "LAGOS": {"Somolu": "Shomolu", "Ifako-Ijaye": "Ifako Ijaiye", "Amuwo-Odofin": "Amuwo"},
    "NASARAWA": {"Nasarawa Eggon": "Nassarawa Egon;Nasarawa Egon;Nassarawa Eggon", "Nasarawa": "Nassarawa"},
    "NIGER": {"Edatti": "Edati", "Munya": "Muya", "Paikoro": "Pailoro"},
    "OGUN": {"Sagamu": "Shagamu", "Egbado North": "Yewa North", "Egbado South": "Yewa South"},
    "ONDO": {"Ileoluji/Okeigbo": "Ile Oluji"},
    "OSUN": {
        "Ayedaade": "Aiyedade;Aiyedaade",
        "Ayedire": "Aiyedire",
        "Ilesa East": "Ilesha East",
        "Ilesa West": "Ilesha West",
        "Osogbo": "Oshogbo",
        "Atakumosa East": "Atakunmosa East",
        "Atakumosa West": "Atakunmosa West",
    },
    "OYO": {
        "Atisbo": "Atigbo",
        "Ogbomoso North": "Ogbomosho North",
        "Ogbomoso South": "Ogbomosho South;Ogbmosho South",
        "Oorelope": "Orelope",
        "Saki East": "Shaki East",
        "Saki West": "Shaki West",
        "Iseyin": "Isehin",
    },
    "PLATEAU": {"Barikin Ladi": "Barkin Ladi;Barakin Ladi", "Qua'an Pan": "Quan Pan"},
    "RIVERS": {
        "Emohua": "Emuoha",
        "Obio/Akpor": "Obia/Akpor;Obi Akpor",
        "Omuma": "Omumma",
        "Port Harcourt": "Port Harcourt City",
        "Oyigbo": "Obigbo",
    },
    "SOKOTO": {
        "Dange/Shuni": "Dange-Shnsi",
        "Gwadabawa": "Gawabawa",
        "Tangaza": "Tqngaza",
        "Wamakko": "Wamako",
        "Illela": "Ilela",
        "Sabon Birni": "Sabon Birnin",
    },
    "TARABA": {"Gassol": "Cassol", "Karim-Lamido": "Karin-Lamido"},
    "YOBE": {"Karasuwa": "Karasawa", "Tarmuwa": "Tarmua", "Bursari": "Borsari", "Yunusari": "Yunusuri"},
    "ZAMFARA": {"Birnin Magaji": "Birnin-Magaji/Kiyaw", "Tsafe": "Chafe"},
}

# What separates words in a name; marks (Yoruba and Igbo tones, dots below) are dropped too, other characters are kept.
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2014_/.,()'\u2018\u2019`\u02bc&]+")
_COUNCIL = re.compile(r"(?:lga|localgovernment(?:area)?|localgovtarea|(?:area)?council(?:area)?)$")


def key(name: str) -> str:
    """The form in which spellings are compared: no case, no marks, no separators."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return _SEPARATORS.sub("", bare).casefold()


ISO_CODES = {state: code for code, state in (entry.split(" ", 1) for entry in _ISO.split("; "))}
# Those of the national health code lists, which differ in one.
HEALTH_CODES = ISO_CODES | {"KEBBI": "KB"}


def _state_keys() -> dict[str, str]:
    known = {key(state): state for state in STATES}
    for state, spellings in _STATE_ALIASES.items():
        known |= {key(spelling): state for spelling in spellings.split(";")}
    for state, code in ISO_CODES.items():
        known |= {key(code): state, key(f"NG-{code}"): state}
    return known


def _lga_keys(state: str) -> dict[str, str]:
    known = {
        key(spelling): name
        for name, spellings in _LGA_ALIASES.get(state, {}).items()
        for spelling in spellings.split(";")
    }
    return known | {key(name): name for name in LGAS[state]}


STATES_BY_KEY = _state_keys()
_LGAS_BY_KEY = {state: _lga_keys(state) for state in STATES}


def find_state(name: str) -> str | None:
    """The state as stored; None where the name is no known spelling of one."""
    spelt = key(name)
    return STATES_BY_KEY.get(spelt) or STATES_BY_KEY.get(spelt.removesuffix("state"))


def find_lga(name: str, state: str | None) -> str | None:
    """The LGA's official name in that state; without a state, where all states that know the name agree on it."""
    spelt = key(name)
    shorter = _COUNCIL.sub("", spelt)
    states = _LGAS_BY_KEY.values() if state is None else [_LGAS_BY_KEY.get(state, {})]
    found = {known.get(spelt) or known.get(shorter) for known in states} - {None}
    return found.pop() if len(found) == 1 else None
