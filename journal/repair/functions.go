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
// WATCH for them: a library that a client loads between the look and the write, within
// milliseconds, is overwritten.

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
			what, command := "restore", []string{"FUNCTION", "LOAD", "REPLACE", want[name]}
			if want[name] == "" {
				what, command = "delete", []string{"FUNCTION", "DELETE", name}
			}
			if m.DryRun {
				m.library(name, what, "")
				m.report.Libraries++
				continue
			}
			if _, err := ask(ctx, m.Live, command...); err != nil {
				m.library(name, "failed", err.Error())
				m.report.Failed++
				continue
			}
			wrote = true
			m.report.Libraries++
		}
	}
	m.report.Functions = false
	if !wrote {
		return nil
	}
	if ours, err = libraries(ctx, m.Live); err == nil && m.report.Failed == 0 {
		m.report.Functions = !maps.Equal(ours, want)
	}
	return err
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
	return out, nil
}
