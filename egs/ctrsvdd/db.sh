# Sourced by run.sh: where the corpora lie. Empty: a message says what to get from where. downloads/NAME: it is downloaded there.
CTRSVDD=${CTRSVDD:-} # folder with train.txt, dev.txt, test_groundtruth.txt and their audio
# Bona fide singing that the release lists but does not contain, each database from its own source. Empty: not cut.
ONIKU=${ONIKU:-}       # ONIKU_KURUMI_UTAGOE_DB
OFUTON=${OFUTON:-}     # OFUTON_P_UTAGOE_DB
KIRITAN=${KIRITAN:-}   # kiritan_singing
JVSMUSIC=${JVSMUSIC:-} # jvs_music_ver1
CTRSVDD_TIMESTAMPS=${CTRSVDD_TIMESTAMPS:-} # folder timestamps of SVDDChallenge/CtrSVDD_Utils; needed for the four above
