package configs

import (
	"fmt"
	"reflect"
	"strings"
)

// Setting is one value of the configuration in force.
type Setting struct {
	Key     string // "upstream.address", "rules[0].commands"
	Value   string // as in the file; secrets as "(redacted)"
	Default bool   // the value of an empty file
}

// Settings is the whole configuration as a list, in the order of the file, for people to read.
func (c *Config) Settings() []Setting {
	list := flatten(nil, "", reflect.ValueOf(c).Elem())
	defaults := map[string]string{}
	for _, s := range flatten(nil, "", reflect.ValueOf(Default()).Elem()) {
		defaults[s.Key] = s.Value
	}
	for i, s := range list {
		value, ok := defaults[s.Key]
		list[i].Default = ok && value == s.Value
	}
	return list
}

func flatten(list []Setting, path string, v reflect.Value) []Setting {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return list
	case v.Kind() == reflect.Pointer:
		return flatten(list, path, v.Elem())
	case v.Kind() == reflect.Struct:
		for i, key := range keysOf(v.Type()) {
			list = flatten(list, join(path, key), v.Field(i))
		}
		return list
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && v.Len() > 0:
		for i := range v.Len() {
			list = flatten(list, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
		return list
	}
	return append(list, Setting{Key: path, Value: shown(path, v)})
}

// shown is a value as the file writes it, or the meaning of its absence.
func shown(path string, v reflect.Value) string {
	if names, ok := v.Interface().([]string); ok {
		return "[" + strings.Join(names, ", ") + "]"
	}
	text := fmt.Sprint(v.Interface())
	switch {
	case path == "rules" && v.IsNil():
		return "(built-in)"
	case text == "" && (path == "admin.address" || path == "admin.http"):
		return off
	case strings.HasSuffix(path, ".mode") && v.IsZero():
		return ""
	}
	return text
}
