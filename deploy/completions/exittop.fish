# SPDX-License-Identifier: GPL-2.0-only
# fish completion of exittop. Commands, options and values come from exittop's --help at completion
# time, so there is no second list to maintain.

function __exittop_command --description 'The command of the line, live where there is none'
    set -l words (commandline -opc)
    if set -q words[2]; and not string match -q -- '-*' $words[2]
        echo $words[2]
    else
        echo live
    end
end

function __exittop_help
    set -l words (commandline -opc)
    $words[1] $argv --help 2>/dev/null
end

function __exittop_commands
    __exittop_help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1\t\2/p'
end

function __exittop_options
    __exittop_help (__exittop_command) |
        string replace -rf -- '^ +(?:-[a-z], ?)?(--[a-z-]+)(?: (?! )\S+)?(?: +(.*))?$' '$1\t$2'
    test (count (commandline -opc)) -eq 1; and printf '%s\n' --version\t'Print the version.'
end

# The values of the option before the cursor: choices, files, or none.
function __exittop_values
    set -l previous (commandline -opc)[-1]
    set -l value (__exittop_help (__exittop_command) |
        string replace -rf -- "^ +(?:-[a-z], ?)?$previous (\S+)(?: .*)?\$" '$1')[1]
    switch "$value"
        case 'FILE*' RUN DIR PATH
            __fish_complete_path (commandline -ct)
        case '*|*'
            # A choice in capitals stands for a value that has no list here.
            string split '|' -- $value | string match -rv '^[A-Z]'
        case '{*}'
            string sub -s 2 -e -1 -- $value | string split ,
    end
end

function __exittop_wants_value
    set -l previous (commandline -opc)[-1]
    string match -q -- '--*' $previous; or return 1
    __exittop_help (__exittop_command) |
        string match -qr -- "^ +(?:-[a-z], ?)?$previous (?! )\S"
end

function __exittop_takes_files
    __exittop_help (__exittop_command) | string match -qr '^Usage: .*(RUN|FILE)'
end

function __exittop_at_command
    test (count (commandline -opc)) -eq 1
end

# After "--": another program's command line, which fish completes as if it stood alone.
function __exittop_in_other
    contains -- -- (commandline -opc)
end

function __exittop_other
    set -l words (commandline -opc) (commandline -ct)
    set -l rest $words[(math (contains -i -- -- $words) + 1)..]
    complete -C (string join ' ' -- $rest)
end

complete -c exittop -f
complete -c exittop -n __exittop_in_other -a '(__exittop_other)'
complete -c exittop -n __exittop_at_command -a '(__exittop_commands)'
complete -c exittop -n 'not __exittop_wants_value; and string match -q -- "-*" (commandline -ct)' \
    -a '(__exittop_options)'
complete -c exittop -n __exittop_wants_value -a '(__exittop_values)'
complete -c exittop -F \
    -n 'not __exittop_at_command; and not __exittop_wants_value; and __exittop_takes_files'
