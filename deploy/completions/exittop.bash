# SPDX-License-Identifier: GPL-2.0-only
# bash completion of exittop. Commands, options and values come from exittop's --help at completion
# time, so there is no second list to maintain.

# The values of an option by the help on stdin: "WORD..." choices, "file", or nothing. Of choices,
# one in capitals stands for a value that has no list here.
_exittop_values() {
    local value
    value=$(sed -nE "s/^ +(-[a-z], ?)?$1[ =]([^ ]+)  .*/\2/p; s/^ +(-[a-z], ?)?$1 ([^ ]+)$/\2/p" |
        head -n 1)
    case $value in
        FILE* | RUN | DIR | PATH) echo file ;;
        *'|'*) tr '|' '\n' <<<"$value" | grep -v '^[A-Z]' ;;
        '{'*'}') value=${value:1:-1}; echo "${value//,/ }" ;;
        ?*) echo none ;;
    esac
}

_exittop() {
    local program=$1 cur=$2 prev=$3 command= word help values i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == -- ]]; then      # what follows is another program's command line
            ((i + 1 == COMP_CWORD)) && mapfile -t COMPREPLY < <(compgen -c -- "$cur")
            ((i + 1 < COMP_CWORD)) && mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return
        fi
        [[ -z $command && $i -eq 1 && $word != -* ]] && command=$word
    done
    help=$("$program" ${command:-live} --help 2>/dev/null) || return
    # bash splits "--format=json" into three words.
    [[ $cur == = ]] && prev=${COMP_WORDS[COMP_CWORD - 1]} cur=
    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD - 2]}
    if [[ $prev =~ ^--[a-z-]+$ ]] && values=$(_exittop_values "$prev" <<<"$help") &&
        [[ $values ]]; then
        case $values in
            file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
            none) ;;
            *) mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur") ;;
        esac
    elif [[ $cur == -* ]]; then
        values=$(grep -oE '^ +(-[a-z], ?)?--[a-z-]+' <<<"$help" | grep -oE -- '--[a-z-]+')
        [[ $command ]] || values+=" --version"
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
    elif [[ $COMP_CWORD -eq 1 ]]; then
        values=$("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
    elif grep -qE '^Usage: .*(RUN|FILE)' <<<"$help"; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _exittop exittop
