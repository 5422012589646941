package policy

import (
	"fmt"
	"math"
	"strings"
)

// NewTable builds a table from a server's reply to COMMAND, as plain Go values: string, []byte,
// int64 or int, nil, bool, []any, and for RESP3's maps and sets map[any]any (of a set, the keys
// count) or map[string]any. A map may also be a flat []any of keys and values, as in RESP2.
//
// Nil entries are left out: COMMAND INFO gives them for unknown names. Unknown flags and fields are
// ignored: newer servers have more of them. Supported servers (7.0 and up) send ten fields an
// entry; with six, which older servers and proxies send, keys come from the three legacy numbers.
// Errors wrap ErrMalformed and name the entry.
func NewTable(reply any) (*Table, error) {
	list, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: want an array of commands, got %T", ErrMalformed, reply)
	}
	d := decoder{categories: newCategoryNames()}
	entries := make([]entry, 0, len(list))
	for i, item := range list {
		if item == nil {
			continue
		}
		e, err := d.entry(item, 0)
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrMalformed, i, err)
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: no command in it", ErrMalformed)
	}
	return newTable(entries, d.categories, Builtin())
}

// The fields of an entry (addReplyCommandInfo in server.c).
const (
	fieldName = iota
	fieldArity
	fieldFlags
	fieldFirstKey
	fieldLastKey
	fieldKeyStep
	fieldCategories
	fieldTips
	fieldKeySpecs
	fieldSubs

	minFields = fieldCategories
)

type decoder struct{ categories *categoryNames }

func (d *decoder) entry(item any, depth int) (entry, error) {
	var e entry
	f, ok := item.([]any)
	if !ok || len(f) < minFields {
		return e, fmt.Errorf("want an array of %d fields or more, got %s", minFields, describe(item))
	}
	var ok1, ok2 bool
	e.name, ok1 = asString(f[fieldName])
	e.name = strings.ToLower(e.name)
	e.arity, ok2 = asInt(f[fieldArity])
	if !ok1 || e.name == "" || strings.IndexByte(e.name, 0) >= 0 {
		return e, fmt.Errorf("name: want a word, got %s", describe(f[fieldName]))
	}
	if !ok2 {
		return e, fmt.Errorf("command %q: arity: want a number, got %s", e.name,
			describe(f[fieldArity]))
	}
	if err := d.sets(&e, f); err != nil {
		return e, fmt.Errorf("command %q: %w", e.name, err)
	}
	if err := d.specs(&e, f); err != nil {
		return e, fmt.Errorf("command %q: %w", e.name, err)
	}
	return e, d.subs(&e, f, depth)
}

// sets reads the flags and the ACL categories.
func (d *decoder) sets(e *entry, f []any) error {
	flags, ok := asStrings(f[fieldFlags])
	if !ok {
		return fmt.Errorf("flags: want words, got %s", describe(f[fieldFlags]))
	}
	for _, name := range flags {
		e.flags |= flagByName[strings.ToLower(name)]
	}
	if len(f) <= fieldCategories {
		return nil
	}
	categories, ok := asStrings(f[fieldCategories])
	if !ok {
		return fmt.Errorf("ACL categories: want words, got %s", describe(f[fieldCategories]))
	}
	for _, name := range categories {
		bit, err := d.categories.intern(name)
		if err != nil {
			return err
		}
		e.cats |= bit
	}
	return nil
}

// specs reads the key specifications, or makes one from the legacy numbers.
func (d *decoder) specs(e *entry, f []any) error {
	if len(f) <= fieldKeySpecs {
		return e.legacySpec(f)
	}
	list, ok := asList(f[fieldKeySpecs])
	if !ok {
		return fmt.Errorf("key specifications: want an array, got %s", describe(f[fieldKeySpecs]))
	}
	for i, item := range list {
		spec, err := decodeSpec(item)
		if err != nil {
			return fmt.Errorf("key specification %d: %w", i, err)
		}
		e.specs = append(e.specs, spec)
	}
	return nil
}

func (e *entry) legacySpec(f []any) error {
	first, ok1 := asInt(f[fieldFirstKey])
	last, ok2 := asInt(f[fieldLastKey])
	step, ok3 := asInt(f[fieldKeyStep])
	if !ok1 || !ok2 || !ok3 {
		return fmt.Errorf("first key, last key and step: want numbers, got %s, %s, %s",
			describe(f[fieldFirstKey]), describe(f[fieldLastKey]), describe(f[fieldKeyStep]))
	}
	if first == 0 {
		return nil
	}
	if last >= 0 {
		last -= first
	}
	flags := KeyRW | KeyAccess | KeyUpdate // as the server takes it for modules
	if e.flags.Has(FlagMovableKeys) {
		flags |= KeyIncomplete
	}
	e.specs = []KeySpec{{flags, BeginSearch{Kind: BeginIndex, Index: first},
		FindKeys{Kind: FindRange, LastKey: last, Step: step}}}
	return nil
}

func (d *decoder) subs(e *entry, f []any, depth int) error {
	if len(f) <= fieldSubs {
		return nil
	}
	list, ok := asList(f[fieldSubs])
	if !ok || depth > 0 && len(list) > 0 {
		return fmt.Errorf("command %q: subcommands: want one level of arrays, got %s",
			e.name, describe(f[fieldSubs]))
	}
	for _, item := range list {
		sub, err := d.entry(item, depth+1)
		if err != nil {
			return fmt.Errorf("subcommand of %q: %w", e.name, err)
		}
		e.subs = append(e.subs, sub)
	}
	return nil
}

func decodeSpec(item any) (KeySpec, error) {
	var spec KeySpec
	fields, ok := asMap(item)
	if !ok {
		return spec, fmt.Errorf("want a map, got %s", describe(item))
	}
	flags, ok := asStrings(fields["flags"])
	if !ok {
		return spec, fmt.Errorf("flags: want words, got %s", describe(fields["flags"]))
	}
	for _, name := range flags {
		spec.Flags |= keyFlagByName[strings.ToLower(name)]
	}
	kind, begin, err := specHalf(fields, "begin_search")
	if err != nil {
		return spec, err
	}
	if err := spec.Begin.decode(kind, begin); err != nil {
		return spec, fmt.Errorf("begin_search: %w", err)
	}
	kind, find, err := specHalf(fields, "find_keys")
	if err != nil {
		return spec, err
	}
	if err := spec.Find.decode(kind, find); err != nil {
		return spec, fmt.Errorf("find_keys: %w", err)
	}
	return spec, nil
}

// specHalf returns the type and the fields of one half of a specification.
func specHalf(fields map[string]any, name string) (kind string, spec map[string]any, err error) {
	half, ok1 := asMap(fields[name])
	kind, ok2 := asString(half["type"])
	spec, ok3 := asMap(half["spec"])
	if !ok1 || !ok2 || !ok3 {
		return "", nil, fmt.Errorf("%s: want a type and a spec, got %s", name,
			describe(fields[name]))
	}
	return kind, spec, nil
}

// decode leaves the kind SearchUnknown for unknown types.
func (b *BeginSearch) decode(kind string, spec map[string]any) error {
	switch kind {
	case "index":
		b.Kind = BeginIndex
		return ints(spec, map[string]*int{"index": &b.Index})
	case "keyword":
		var ok bool
		b.Kind = BeginKeyword
		if b.Keyword, ok = asString(spec["keyword"]); !ok || b.Keyword == "" {
			return fmt.Errorf("keyword: want a word, got %s", describe(spec["keyword"]))
		}
		b.Keyword = strings.ToLower(b.Keyword)
		return ints(spec, map[string]*int{"startfrom": &b.StartFrom})
	}
	return nil
}

func (f *FindKeys) decode(kind string, spec map[string]any) error {
	switch kind {
	case "range":
		f.Kind = FindRange
		return ints(spec, map[string]*int{
			"lastkey": &f.LastKey, "keystep": &f.Step, "limit": &f.Limit})
	case "keynum":
		f.Kind = FindKeyNum
		return ints(spec, map[string]*int{
			"keynumidx": &f.KeyNumIdx, "firstkey": &f.FirstKey, "keystep": &f.Step})
	}
	return nil
}

func ints(spec map[string]any, want map[string]*int) error {
	for name, to := range want {
		n, ok := asInt(spec[name])
		if !ok {
			return fmt.Errorf("%s: want a number, got %s", name, describe(spec[name]))
		}
		*to = n
	}
	return nil
}

func asString(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	}
	return "", false
}

// asInt accepts 32 bits: the server keeps all of these numbers in a C int, and sums of a few of
// them then cannot overflow.
func asInt(v any) (int, bool) {
	var n int64
	switch v := v.(type) {
	case int64:
		n = v
	case int:
		n = int64(v)
	default:
		return 0, false
	}
	return int(n), math.MinInt32 <= n && n <= math.MaxInt32
}

// asList reads an array, a set (as its keys) or nothing.
func asList(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case map[any]any:
		list := make([]any, 0, len(v))
		for key := range v {
			list = append(list, key)
		}
		return list, true
	case nil:
		return nil, true
	}
	return nil, false
}

func asStrings(v any) ([]string, bool) {
	list, ok := asList(v)
	words := make([]string, 0, len(list))
	for _, item := range list {
		word, isWord := asString(item)
		if !isWord {
			return nil, false
		}
		words = append(words, word)
	}
	return words, ok
}

// asMap reads a map, also where it is a flat array of keys and values.
func asMap(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case map[any]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			name, ok := asString(key)
			if !ok {
				return nil, false
			}
			m[name] = value
		}
		return m, true
	case []any:
		return flatMap(v)
	}
	return nil, false
}

func flatMap(v []any) (map[string]any, bool) {
	if len(v)%2 != 0 {
		return nil, false
	}
	m := make(map[string]any, len(v)/2)
	for i := 0; i < len(v); i += 2 {
		name, ok := asString(v[i])
		if !ok {
			return nil, false
		}
		m[name] = v[i+1]
	}
	return m, true
}

// describe shows a value of a reply briefly.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case []any:
		return fmt.Sprintf("an array of %d", len(v))
	case string, []byte:
		return fmt.Sprintf("%.40q", v)
	case int64, int, bool:
		return fmt.Sprintf("%v (%T)", v, v)
	}
	return fmt.Sprintf("a %T", v)
}
