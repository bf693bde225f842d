"""Completion of `tunnel` in the shells, as text that a shell reads.

The scripts are written out rather than made from the parser, since each shell wants
its own words; a test sees to it that none misses an option.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SCRIPTS"]

_BASH: Final = """\
# bash: add to ~/.bashrc: eval "$(tunnel --completion bash)"
_tunnel() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} file= i
    for ((i = 1; i < COMP_CWORD - 1; i++)); do
        [[ ${COMP_WORDS[i]} == --config ]] && file=${COMP_WORDS[i+1]}
    done
    case $before in
        --*-file|--config) COMPREPLY=($(compgen -f -- "$word")); return ;;
        --host-header) COMPREPLY=($(compgen -W "rewrite preserve" -- "$word")); return ;;
        --proxy-protocol) COMPREPLY=($(compgen -W "v1 v2" -- "$word")); return ;;
        --completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$word")); return ;;
        --server) COMPREPLY=($(compgen -W "ws:// wss://" -- "$word")); return ;;
        --name|--client-id|--remote-port|--basic-auth|--bearer|--allow|--deny|--bind) return ;;
        --share-link) COMPREPLY=($(compgen -W "2h 1d 7d" -- "$word")); return ;;
        --inspect) COMPREPLY=($(compgen -W "off 4040" -- "$word")); return ;;
        --inspect-body) COMPREPLY=($(compgen -W "64KiB 1MiB 8MiB" -- "$word")); return ;;
        --inspect-memory) COMPREPLY=($(compgen -W "16MiB 64MiB 256MiB" -- "$word")); return ;;
    esac
    if [[ ${COMP_WORDS[1]} == connect ]] && ((COMP_CWORD > 1)); then
        COMPREPLY=()
        [[ $word == -* ]] && COMPREPLY=($(compgen -W "--bind --share-token-file --server \\
            --token-file --client-id --json --quiet --insecure --verbose --help" -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "--config --server --token-file --name --client-id \\
            --host-header --remote-port --proxy-protocol --share --private --allow --deny \\
            --basic-auth --basic-auth-file --bearer --bearer-file --private-http --share-link \\
            --inspect --inspect-body --inspect-memory \\
            --json --quiet --insecure --verbose --completion --version --help" -- "$word"))
    elif [[ -n $file ]]; then
        COMPREPLY=($(compgen -W "$(sed -n \\
            's/^\\[services\\.\\([A-Za-z0-9_-]*\\)\\].*/\\1/p' "$file" 2>/dev/null)" -- "$word"))
    elif ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "connect" -- "$word"))
    elif [[ $before != -* ]]; then
        COMPREPLY=($(compgen -W "http tcp" -- "$word"))
    fi
}
complete -F _tunnel tunnel
"""

_ZSH: Final = """\
#compdef tunnel
# zsh: add to ~/.zshrc, after compinit: eval "$(tunnel --completion zsh)"
_tunnel() {
    if [[ $words[2] == connect ]] && ((CURRENT > 2)); then
        _arguments \\
            '--bind[address to listen on]:address:' \\
            '--share-token-file[file that holds a share token]:file:_files' \\
            '--server[control URL of the server]:URL:' \\
            '--token-file[file that holds the token]:file:_files' \\
            '--client-id[how the server lists this client]:id:' \\
            '(--quiet)--json[one JSON object a line]' \\
            '(--json)--quiet[only the local address]' \\
            '--insecure[take any certificate of the server]' \\
            '--verbose[show what goes on inside]' \\
            '(- *)'{-h,--help}'[explain and exit]' \\
            '2:private service:' \\
            '3:local port:'
        return
    fi
    _arguments \\
        '--config[file with services]:file:_files' \\
        '--server[control URL of the server]:URL:' \\
        '--token-file[file that holds the token]:file:_files' \\
        '--name[name of the public address]:name:' \\
        '--client-id[how the server lists this client]:id:' \\
        '--host-header[Host that the service sees]:host:(rewrite preserve)' \\
        '--remote-port[public port of a tcp tunnel]:port:' \\
        '--proxy-protocol[tell a tcp service the visitors]:version:(v1 v2)' \\
        '--share[serve the name together with others]' \\
        '--private[no public address, for tunnel connect]' \\
        '*--allow[where visitors may come from]:network:' \\
        '*--deny[where they may not come from]:network:' \\
        '*--basic-auth[ask visitors for name and password]:USER\\:PASSWORD:' \\
        '--basic-auth-file[the same, in a file]:file:_files' \\
        '*--bearer[let programs in that send a token]:token:' \\
        '--bearer-file[the same, in a file]:file:_files' \\
        '--private-http[let nobody in without a share link]' \\
        '--share-link[print a link that lasts so long]:time:(2h 1d 7d)' \\
        '--inspect[port of the inspector]:port:(off 4040)' \\
        '--inspect-body[what it keeps of each body]:size:(64KiB 1MiB 8MiB)' \\
        '--inspect-memory[what it keeps in all]:size:(16MiB 64MiB 256MiB)' \\
        '(--quiet)--json[one JSON object a line]' \\
        '(--json)--quiet[only the public address]' \\
        '--insecure[take any certificate of the server]' \\
        '--verbose[show what goes on inside]' \\
        '--completion[print a completion script]:shell:(bash zsh fish)' \\
        '(-)--version[print the version]' \\
        '(- *)'{-h,--help}'[explain and exit]' \\
        '1:port, host\\:port or URL, connect, or with --config a service:(connect)' \\
        '2:protocol:(http tcp)' \\
        '*:service:'
}
compdef _tunnel tunnel
"""

_FISH: Final = """\
# fish: tunnel --completion fish > ~/.config/fish/completions/tunnel.fish
complete -c tunnel -f
complete -c tunnel -n 'test (count (commandline -opc)) -ge 2
    and not __fish_seen_subcommand_from connect' -a 'http tcp'
complete -c tunnel -n 'test (count (commandline -opc)) -eq 1' -a connect \\
    -d 'reach a private service'
complete -c tunnel -n '__fish_seen_subcommand_from connect' -l bind -x \\
    -d 'address to listen on'
complete -c tunnel -n '__fish_seen_subcommand_from connect' -l share-token-file -r -F \\
    -d 'file that holds a share token'
complete -c tunnel -l config -r -F -d 'file with services'
complete -c tunnel -l server -x -d 'control URL of the server'
complete -c tunnel -l token-file -r -F -d 'file that holds the token'
complete -c tunnel -l name -x -d 'name of the public address'
complete -c tunnel -l client-id -x -d 'how the server lists this client'
complete -c tunnel -l host-header -x -a 'rewrite preserve' -d 'Host that the service sees'
complete -c tunnel -l remote-port -x -d 'public port of a tcp tunnel'
complete -c tunnel -l proxy-protocol -x -a 'v1 v2' -d 'tell a tcp service the visitors'
complete -c tunnel -l share -d 'serve the name together with others'
complete -c tunnel -l private -d 'no public address, for tunnel connect'
complete -c tunnel -l allow -x -d 'where visitors may come from'
complete -c tunnel -l deny -x -d 'where they may not come from'
complete -c tunnel -l basic-auth -x -d 'ask visitors for name and password'
complete -c tunnel -l basic-auth-file -r -F -d 'the same, in a file'
complete -c tunnel -l bearer -x -d 'let programs in that send a token'
complete -c tunnel -l bearer-file -r -F -d 'the same, in a file'
complete -c tunnel -l private-http -d 'let nobody in without a share link'
complete -c tunnel -l share-link -x -a '2h 1d 7d' -d 'print a link that lasts so long'
complete -c tunnel -l inspect -x -a 'off 4040' -d 'port of the inspector'
complete -c tunnel -l inspect-body -x -a '64KiB 1MiB 8MiB' -d 'what it keeps of each body'
complete -c tunnel -l inspect-memory -x -a '16MiB 64MiB 256MiB' -d 'what it keeps in all'
complete -c tunnel -l json -d 'one JSON object a line'
complete -c tunnel -l quiet -d 'only the public address'
complete -c tunnel -l insecure -d 'take any certificate of the server'
complete -c tunnel -l verbose -d 'show what goes on inside'
complete -c tunnel -l completion -x -a 'bash zsh fish' -d 'print a completion script'
complete -c tunnel -l version -d 'print the version'
complete -c tunnel -s h -l help -d 'explain and exit'
"""

#: Shell to script.
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
