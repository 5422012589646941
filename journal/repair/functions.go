package repair

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/journal/internal/wire"
	"holdfast/journal/keyspace"
)

// Libraries of functions are merged three ways as keys are, by their code. The live server has no
// WATCH for them: the transaction that writes one reads it first, and a library that a client has
// loaded or deleted since the look gets its code back.

// functions puts back the libraries that the lost branch has changed, and verifies them.
func (m *merging) functions(ctx context.Context, theirs keyspace.Endpoint) error {
	want, err := libraries(ctx, theirs)
	if err != nil {
		return err
	}
	ours, err := libraries(ctx, m.Live)
	if err != nil {
		return err
	}
	stays := func(name string) { // so that the verification finds it as it is
		delete(want, name)
		if code := ours[name]; code != "" {
			want[name] = code
		}
	}
	wrote := false
	for _, name := range slices.Sorted(maps.Keys(joined(want, ours, m.libs))) {
		base, known := m.libs[name], m.libs != nil
		switch {
		case ours[name] == want[name] || known && want[name] == base:
			stays(name)
		case ours[name] != base && (known || ours[name] != "") && m.Conflicts != Replace:
			m.library(name, "conflict", "loaded or deleted on the live server since, or what it was before is not known")
			m.report.Conflicts++
			stays(name)
		default:
			met, did := m.putBackLibrary(ctx, name, ours[name], want[name])
			if met != ours[name] && met != want[name] && m.Conflicts != Replace {
				ours[name] = met
				stays(name)
			}
			wrote = wrote || did
		}
	}
	if !wrote {
		return nil
	}
	if ours, err = libraries(ctx, m.Live); err == nil && m.report.Failed == 0 {
		m.report.Functions = !maps.Equal(ours, want)
	}
	return err
}

// putBackLibrary gives a library the code want instead of ours, and reports the outcome. met is the
// code that it met on the live server; wrote: it is not ours or may not be.
func (m *merging) putBackLibrary(ctx context.Context, name, ours, want string) (met string, wrote bool) {
	if m.DryRun {
		what := "restore"
		if want == "" {
			what = "delete"
		}
		m.library(name, what, "")
		m.report.Libraries++
		return ours, false
	}
	met, err := m.exchange(ctx, name, ours, want)
	switch {
	case err != nil:
		m.library(name, "failed", err.Error())
		m.report.Failed++
		return ours, false
	case met != ours && met != want && m.Conflicts != Replace:
		m.library(name, "conflict", "loaded or deleted on the live server while it was put back")
		m.report.Conflicts++
	default:
		m.report.Libraries++
	}
	return met, true
}

// exchange replaces the code of a library on the live server by other code; "" is none. It returns the
// code that it met there. That stays if it is not the expected one, unless conflicts are replaced.
func (m *merging) exchange(ctx context.Context, name, expected, code string) (met string, err error) {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, m.Live)
	if err != nil {
		return "", err
	}
	defer conn.Close() // ends a transaction that a refused command has left open
	set := func(code string) []string {
		if code == "" {
			return []string{"FUNCTION", "DELETE", name}
		}
		return []string{"FUNCTION", "LOAD", "REPLACE", code}
	}
	var v any
	for _, command := range [][]string{{"MULTI"}, {"FUNCTION", "LIST", "LIBRARYNAME", name, "WITHCODE"}, set(code),
		{"EXEC"}} {
		if v, err = conn.Do(ctx, command...); err != nil {
			return "", err
		}
	}
	replies, _ := v.([]any)
	if len(replies) != 2 {
		return "", fmt.Errorf("%w: EXEC answers %v", errLibraries, v)
	}
	met = codes(replies[0])[name]
	if refused, ok := replies[1].(wire.Error); ok && met != code {
		return "", refused
	}
	if met != expected && met != code && m.Conflicts != Replace {
		_, err = conn.Do(ctx, set(met)...)
	}
	return met, err
}

// joined returns the names in all maps.
func joined(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, one := range all {
		maps.Copy(out, one)
	}
	return out
}

func (m *merging) library(name, what, why string) {
	text := "a library of functions"
	if why != "" {
		text += ", " + why
	}
	m.item(keyspace.Key{Name: name}, what, text)
}

// ask runs a command on a server.
func ask(ctx context.Context, e keyspace.Endpoint, command ...string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, e)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Do(ctx, command...)
}

// libraries returns the code of a server's libraries of functions by name.
func libraries(ctx context.Context, e keyspace.Endpoint) (map[string]string, error) {
	v, err := ask(ctx, e, "FUNCTION", "LIST", "WITHCODE")
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errLibraries, e.Address, err)
	}
	return codes(v), nil
}

// codes reads the reply to FUNCTION LIST WITHCODE.
func codes(v any) map[string]string {
	out := map[string]string{}
	list, _ := v.([]any)
	for _, one := range list {
		fields, _ := one.([]any)
		lib := map[string]string{}
		for i := 0; i+1 < len(fields); i += 2 {
			name, _ := fields[i].(string)
			lib[name], _ = fields[i+1].(string)
		}
		out[lib["library_name"]] = lib["library_code"]
	}
	return out
}
