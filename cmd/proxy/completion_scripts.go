package main

import (
	"strings"
	"text/template"
)

// The scripts first find the place: the words of the command so far, "journal ls". A value of the
// flag before the cursor is completed by its kind; otherwise the flags and words of the place are
// offered. They use nothing but the shell itself.

var bashScript = script("bash", `# bash completion for {{.Name}}; made by: {{.Name}} completion bash
_{{.Func}}() {
	local IFS=$' \t\n' at="" i word cur prev
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
	# A = between flag and value is a word of its own, and -flag is --flag.
	if [ "$prev" = "=" ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
	if [ "$cur" = "=" ]; then cur=""; fi
	case "$prev" in
	--*) ;;
	-*) prev="-$prev" ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case "$at $word" in
		{{pattern .Paths}}) at="${at:+$at }$word" ;;
		esac
	done
	case "$at $prev" in
	{{- if .Files}}
	{{pattern .Files}})
		compopt -o filenames 2>/dev/null
		IFS=$'\n'
		COMPREPLY=($(compgen -f -- "$cur"))
		return ;;
	{{- end}}
	{{- if .Dirs}}
	{{pattern .Dirs}})
		compopt -o filenames 2>/dev/null
		IFS=$'\n'
		COMPREPLY=($(compgen -d -- "$cur"))
		return ;;
	{{- end}}
	{{- range .Choices}}
	{{q .At}}) COMPREPLY=($(compgen -W {{q (join .Words " ")}} -- "$cur")); return ;;
	{{- end}}
	{{- if .Free}}
	{{pattern .Free}}) return ;;
	{{- end}}
	esac
	case "$at" in
	"") COMPREPLY=($(compgen -W "{{range .Top}}{{.Word}} {{end}}--help --version" -- "$cur")) ;;
	{{- range .Places}}
	{{q .Place}})
		case "$cur" in
		-*) COMPREPLY=($(compgen -W "{{range .Flags}}--{{.Name}} {{end}}--help" -- "$cur")) ;;
		{{- if .Words}}
		*) COMPREPLY=($(compgen -W "{{range .Words}}{{.Word}} {{end}}" -- "$cur")) ;;
		{{- else if .Files}}
		*)
			compopt -o filenames 2>/dev/null
			IFS=$'\n'
			COMPREPLY=($(compgen -f -- "$cur")) ;;
		{{- end}}
		esac ;;
	{{- end}}
	esac
}
complete -F _{{.Func}} {{.Name}}
`)

var zshScript = script("zsh", `#compdef {{.Name}}
# zsh completion for {{.Name}}; made by: {{.Name}} completion zsh
_{{.Func}}() {
	local at="" word prev=${words[CURRENT-1]}
	local -a offers
	[[ $prev == -[^-]* ]] && prev="-$prev"
	for word in ${words[2,CURRENT-1]}; do
		case "$at $word" in
		({{pattern .Paths}}) at="${at:+$at }$word" ;;
		esac
	done
	case "$at $prev" in
	{{- if .Files}}
	({{pattern .Files}}) _files; return ;;
	{{- end}}
	{{- if .Dirs}}
	({{pattern .Dirs}}) _files -/; return ;;
	{{- end}}
	{{- range .Choices}}
	({{q .At}}) compadd -- {{join .Words " "}}; return ;;
	{{- end}}
	{{- if .Free}}
	({{pattern .Free}}) return ;;
	{{- end}}
	esac
	case "$at" in
	("") offers=({{range .Top}}
		{{q (print .Word ":" .About)}}{{end}}) ;;
	{{- range .Places}}
	({{q .Place}})
		if [[ $PREFIX == -* ]]; then
			offers=({{range .Flags}}
				{{q (print "--" .Name ":" .About)}}{{end}}
				'--help:explain this command')
		{{- if .Words}}
		else
			offers=({{range .Words}}
				{{q (print .Word ":" .About)}}{{end}})
		{{- else if .Files}}
		else
			_files
			return
		{{- end}}
		fi ;;
	{{- end}}
	esac
	_describe -o '{{.Name}}' offers
}
if [ "$funcstack[1]" = "_{{.Func}}" ]; then
	_{{.Func}} "$@"
else
	compdef _{{.Func}} {{.Name}}
fi
`)

var fishScript = script("fish", `# fish completion for {{.Name}}; made by: {{.Name}} completion fish
function __{{.Func}}_at
    set -l at ""
    for word in (commandline -opc)[2..-1]
        switch "$at $word"
            case {{range .Paths}}{{fq .}} {{end}}
                set at (string trim -- "$at $word")
        end
    end
    test "$at" = "$argv"
end
complete -c {{.Name}} -f
complete -c {{.Name}} -n '__{{.Func}}_at' -l help -d 'list the commands'
complete -c {{.Name}} -n '__{{.Func}}_at' -l version -d 'print the version'
{{- range .Top}}
complete -c {{$.Name}} -n '__{{$.Func}}_at' -a {{.Word}} -d {{fq .About}}
{{- end}}
{{- range $p := .Places}}
{{- range .Flags}}
complete -c {{$.Name}} -n '__{{$.Func}}_at {{$p.Place}}' -l {{.Name}}{{fishValue .}} -d {{fq .About}}
{{- end}}
complete -c {{$.Name}} -n '__{{$.Func}}_at {{$p.Place}}' -l help -d 'explain this command'
{{- range .Words}}
complete -c {{$.Name}} -n '__{{$.Func}}_at {{$p.Place}}' -a {{.Word}} -d {{fq .About}}
{{- end}}
{{- if .Files}}
complete -c {{$.Name}} -n '__{{$.Func}}_at {{$p.Place}}' -F
{{- end}}
{{- end}}
`)

func script(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{
		"q": quoted, "fq": fishQuoted, "fishValue": fishValue, "pattern": pattern, "join": strings.Join,
	}).Parse(text))
}

// quoted is text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// fishQuoted is text as one word of fish, where a backslash counts within quotes.
func fishQuoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}

// pattern is texts as the alternatives of a shell's case.
func pattern(texts []string) string {
	var out []string
	for _, t := range texts {
		out = append(out, quoted(t))
	}
	return strings.Join(out, "|")
}

// fishValue is what fish offers as the value of a flag.
func fishValue(f completionFlag) string {
	switch f.Kind {
	case valueNone:
		return ""
	case valueFile:
		return " -r -F"
	case valueDir:
		return " -x -a '(__fish_complete_directories)'"
	case valueWords:
		return " -x -a " + fishQuoted(strings.Join(f.Words, " "))
	}
	return " -x"
}
