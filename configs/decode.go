package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// A decoder walks the tree of a file and fills a Config by reflection over the yaml tags. The
// parser's own decoder stops at the first error and forgets the places of values; this one goes on
// and remembers them.
type decoder struct {
	origin origin
	errs   Errors
}

// decode reads text over the defaults. The Config is nil if the text is not YAML at all; otherwise
// it holds the readable part, with errors for the rest.
func decode(name string, text []byte) (*Config, Errors) {
	root, failure := parseYAML(name, text)
	if failure != nil {
		return nil, Errors{failure}
	}
	c := Default()
	d := &decoder{origin: origin{
		file: name, at: map[string]position{}, written: map[string]string{},
	}}
	if root != nil {
		d.value("", root, reflect.ValueOf(c).Elem())
	}
	c.origin = d.origin
	c.complete()
	return c, d.errs
}

// complete fills the defaults that depend on other values.
func (c *Config) complete() {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if l.Mode == 0 && isUnix(l.Address) {
			l.Mode = unixSocketMode
		}
		if l.ProxyProtocol == "" {
			l.ProxyProtocol = off
		}
		if l.TLS != nil {
			l.TLS.complete()
		}
	}
	if c.Admin.TLS != nil {
		c.Admin.TLS.complete()
	}
	if _, written := c.origin.at["upstream.address"]; !written && len(c.Upstream.Sentinels) > 0 {
		c.Upstream.Address = nil
	}
	for i := range c.Routes {
		c.Routes[i].complete(c.origin.at, fmt.Sprintf("routes[%d]", i))
	}
	if c.Admin.Address == off {
		c.Admin.Address = ""
	}
	if c.Admin.HTTP == off {
		c.Admin.HTTP = ""
	}
}

func (t *ServerTLS) complete() {
	if t.ClientAuth == "" {
		t.ClientAuth = ClientAuthNone
	}
}

func (d *decoder) fail(path string, n ast.Node, format string, args ...any) {
	pos := positionOf(n)
	d.errs = append(d.errs, &Error{
		File: d.origin.file, Line: pos.line, Column: pos.column,
		Path: path, Text: fmt.Sprintf(format, args...),
	})
}

// value decodes n into v, by the type of v.
func (d *decoder) value(path string, n ast.Node, v reflect.Value) {
	if path != "" {
		d.origin.at[path] = positionOf(n)
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode:
		d.fail(path, n, "anchors and aliases (&, *) are not supported; "+
			"text that begins with one of them needs quotes")
		return
	case *ast.TagNode, *ast.DirectiveNode:
		d.fail(path, n, "tags and directives (!, %%) are not supported; "+
			"text that begins with one of them needs quotes")
		return
	}
	switch into := v.Addr().Interface().(type) {
	case *Bytes, *Rate, *time.Duration, *FileMode, *Secret, *Share, *string, *int, *bool:
		d.scalar(path, n, into)
	case *Addresses:
		d.addresses(path, n, into)
	default:
		switch v.Kind() {
		case reflect.Slice:
			d.list(path, n, v)
		case reflect.Pointer:
			d.optional(path, n, v)
		default:
			d.section(path, n, v)
		}
	}
}

// optional decodes a section whose presence has a meaning of its own, whatever it contains. An
// empty one may have lost its contents to a comment.
func (d *decoder) optional(path string, n ast.Node, v reflect.Value) {
	if _, ok := n.(*ast.NullNode); ok {
		d.fail(path, n, "is empty: write {} for the defaults, or leave it out")
		return
	}
	v.Set(reflect.New(v.Type().Elem()))
	d.section(path, n, v.Elem())
}

// section decodes a mapping into the struct v. An empty one, perhaps with all entries commented
// out, leaves the defaults.
func (d *decoder) section(path string, n ast.Node, v reflect.Value) {
	if _, ok := n.(*ast.NullNode); ok {
		return
	}
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.fail(path, n, "expected keys and values, got %s", kindOf(n))
		return
	}
	seen := map[string]position{}
	for _, entry := range m.Values {
		d.entry(path, entry, v, seen)
	}
}

// entry decodes one key of a mapping into the field of v that has its name.
func (d *decoder) entry(
	path string, e *ast.MappingValueNode, v reflect.Value, seen map[string]position,
) {
	keyNode, ok := e.Key.(*ast.StringNode)
	if !ok {
		d.fail(path, e.Key, "expected a key of plain text, got %s", kindOf(e.Key))
		return
	}
	key := keyNode.Value
	if first, twice := seen[key]; twice {
		d.fail(path, e.Key, "the key %q is here twice, first in line %d", key, first.line)
		return
	}
	seen[key] = positionOf(e.Key)
	full := join(path, key)
	field := fieldNamed(v, key)
	if !field.IsValid() {
		d.unknown(path, e.Key, key, v)
		return
	}
	if null, ok := e.Value.(*ast.NullNode); ok {
		// The parser puts a value that is not there behind the end of the line.
		null.Token.Position = e.Key.GetToken().Position
	}
	d.value(full, e.Value, field)
}

func (d *decoder) unknown(path string, n ast.Node, key string, v reflect.Value) {
	hint := ""
	if near := closest(strings.ToLower(key), keysOf(v.Type())); near != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", near)
	}
	d.fail(path, n, "unknown key %q%s", key, hint)
}

// absenceDiffers holds the lists whose absence means something else than an empty one.
var absenceDiffers = map[string]bool{"rules": true, "trash.databases": true}

// list decodes a sequence into the slice v, which loses its default. An empty value is an error:
// the file must say whether it means none or the default.
func (d *decoder) list(path string, n ast.Node, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(path, n, "expected a list ([] for none), got %s", kindOf(n))
		return
	}
	if len(seq.Values) == 0 && !absenceDiffers[path] {
		v.SetZero() // as it reads back from String
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i))
	}
}

// fieldNamed is the field of the struct v that holds key, or the zero Value.
func fieldNamed(v reflect.Value, key string) reflect.Value {
	i := slices.Index(keysOf(v.Type()), key)
	if i < 0 {
		return reflect.Value{}
	}
	return v.Field(i)
}

// keysOf lists the keys of a section, in the order of the fields of its struct; unexported fields,
// which have no key, must stand at the end of it.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if tag, ok := t.Field(i).Tag.Lookup("yaml"); ok {
			name, _, _ := strings.Cut(tag, ",")
			keys = append(keys, name)
		}
	}
	return keys
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
