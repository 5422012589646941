package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// otherYAML is the files of this folder that are YAML and no configuration.
var otherYAML = []string{"alerts.yaml"}

func TestSamplesLoad(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("samples: %v, %v", files, err)
	}
	for _, file := range files {
		if slices.Contains(otherYAML, file) {
			continue
		}
		if _, err := Load(file); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func readSample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c.origin = origin{}
	return c
}

func TestSampleShowsTheDefaults(t *testing.T) {
	got := parsed(t, readSample(t, "holdfast.yaml"))
	if want := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("holdfast.yaml is\n%v\nthe default is\n%v", got, want)
	}
}

// setting is a line of the sample that holds a setting behind a #: no single space follows it.
var setting = regexp.MustCompile(`(?m)^( *)#((?:  )*[^ \n])`)

func TestSampleShowsEveryKey(t *testing.T) {
	text := setting.ReplaceAllString(readSample(t, "holdfast.yaml"), "$1$2")
	c, errs := decode("holdfast.yaml", []byte(text))
	if c == nil || len(errs) > 0 {
		t.Fatalf("with every setting uncommented: %v", errs)
	}
	shown := map[string]bool{}
	for path := range c.origin.at {
		shown[generic(path)] = true
	}
	for _, path := range allPaths("", reflect.TypeFor[Config]()) {
		if !shown[path] {
			t.Errorf("holdfast.yaml does not show %s", path)
		}
	}
	// Only what excludes each other may be wrong with it.
	for _, err := range c.validate(nil) {
		if !strings.Contains(err.Text, "give either") && err.Path != "routes[0].ack.journal" {
			t.Error(err)
		}
	}
}

var index = regexp.MustCompile(`\[\d+\]`)

// generic is path without the numbers of list items: "rules[].keep".
func generic(path string) string { return index.ReplaceAllString(path, "[]") }

// allPaths is the path of every key of the struct t, with list items as "[]".
func allPaths(path string, t reflect.Type) []string {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
		path, t = path+"[]", t.Elem()
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return []string{path}
	}
	var paths []string
	for i, key := range keysOf(t) {
		paths = append(paths, allPaths(join(path, key), t.Field(i).Type)...)
	}
	return paths
}

// fieldNamed relies on it: the keys of a section are its first fields, in order, none twice.
func TestKeysMatchFields(t *testing.T) {
	var check func(t reflect.Type, path string)
	check = func(typ reflect.Type, path string) {
		if typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		keys := keysOf(typ)
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() != (i < len(keys)) {
				t.Errorf("%s.%s is in the wrong place or has no key", path, f.Name)
			}
		}
		for i, key := range keys {
			if slices.Contains(keys[:i], key) {
				t.Errorf("%s: the key %s is taken", path, key)
			}
			check(typ.Field(i).Type, join(path, key))
		}
	}
	check(reflect.TypeFor[Config](), "")
}
