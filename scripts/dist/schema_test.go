package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// A schema is the part of an OpenAPI schema of Kubernetes that says which fields there are.
type schema struct {
	Ref        string `json:"$ref"`
	AllOf      []schema
	OneOf      []schema
	Type       string
	Required   []string
	Properties map[string]schema
	Additional *schema `json:"additionalProperties"`
	Items      *schema
	Kinds      []struct{ Group, Version, Kind string } `json:"x-kubernetes-group-version-kind"`
}

// schemas are those of one version of the API, by name.
type schemas map[string]schema

// kubernetes are the schemas of Kubernetes 1.30, which a module carries as files. dist-check validates the
// manifests by that module's program, too, which takes minutes to build.
func kubernetes(t *testing.T) (folder string) {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", "-modfile=scripts/manifests/go.mod", "sigs.k8s.io/kubectl-validate")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if err := errors.Join(json.Unmarshal(out, &module), err); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(module.Dir, "pkg/openapiclient/builtins/1.30")
}

func readSchemas(t *testing.T, folder, version string) schemas {
	t.Helper()
	group := "api"
	if strings.Contains(version, "/") {
		group = "apis"
	}
	text, err := os.ReadFile(filepath.Join(folder, group, version+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var api struct{ Components struct{ Schemas schemas } }
	if err := json.Unmarshal(text, &api); err != nil {
		t.Fatal(err)
	}
	return api.Components.Schemas
}

// of is the schema of an object's kind.
func (all schemas) of(kind string) (schema, bool) {
	for _, s := range all {
		if len(s.Kinds) == 1 && s.Kinds[0].Kind == kind {
			return s, true
		}
	}
	return schema{}, false
}

// check lists the differences between a value and its schema.
func (all schemas) check(at string, v any, s schema) (faults []string) {
	if s.Ref != "" {
		return all.check(at, v, all[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]])
	}
	for _, part := range s.AllOf {
		faults = append(faults, all.check(at, v, part)...)
	}
	if len(s.OneOf) > 0 && !slices.ContainsFunc(s.OneOf, func(o schema) bool { return len(all.check(at, v, o)) == 0 }) {
		faults = append(faults, fmt.Sprintf("%s: %v is of no type that the schema has", at, v))
	}
	switch v := v.(type) {
	case map[string]any:
		return append(faults, all.checkFields(at, v, s)...)
	case []any:
		if s.Type != "array" {
			return append(faults, at+": a list")
		}
		for i, item := range v {
			faults = append(faults, all.check(fmt.Sprintf("%s[%d]", at, i), item, *s.Items)...)
		}
	default:
		if s.Type != "" && s.Type != kindOf(v) && (s.Type != "number" || kindOf(v) != "integer") {
			faults = append(faults, fmt.Sprintf("%s: %v is no %s", at, v, s.Type))
		}
	}
	return faults
}

func (all schemas) checkFields(at string, fields map[string]any, s schema) (faults []string) {
	if len(s.AllOf) > 0 {
		return nil // its parts have seen them
	}
	if s.Type != "object" {
		return []string{at + ": an object"}
	}
	for _, name := range s.Required {
		if fields[name] == nil {
			faults = append(faults, at+": "+name+" is missing")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field, ok := s.Properties[name]
		switch {
		case ok:
			faults = append(faults, all.check(at+"."+name, fields[name], field)...)
		case s.Additional != nil:
			faults = append(faults, all.check(at+"."+name, fields[name], *s.Additional)...)
		default:
			faults = append(faults, at+"."+name+": there is no such field")
		}
	}
	return faults
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case float32, float64:
		return "number"
	case int, int64, uint64:
		return "integer"
	}
	return fmt.Sprintf("%T", v)
}

// Each manifest is what the schemas of Kubernetes allow: every field exists, has its type, and none is missing.
func TestManifestsAndSchemas(t *testing.T) {
	t.Parallel()
	folder, known := kubernetes(t), map[string]schemas{}
	find := func(version, kind string) (schemas, schema) {
		if known[version] == nil {
			known[version] = readSchemas(t, folder, version)
		}
		s, ok := known[version].of(kind)
		if !ok {
			t.Fatalf("%s has no %s", version, kind)
		}
		return known[version], s
	}
	files, err := filepath.Glob("../../deploy/kubernetes/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v: %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
			var o map[string]any
			if err := d.Decode(&o); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			kind := fmt.Sprint(o["kind"])
			all, s := find(fmt.Sprint(o["apiVersion"]), kind)
			for _, fault := range all.check(filepath.Base(file)+": "+kind, o, s) {
				t.Error(fault)
			}
		}
	}
	// The check finds such faults.
	all, deployment := find("apps/v1", "Deployment")
	for fault, text := range map[string]string{
		"d.spec.replica: there is no such field": "spec: {replica: 2, selector: {}, template: {}}",
		"d.spec: selector is missing":            "spec: {template: {}}",
		"d.spec.replicas: two is no integer":     "spec: {replicas: two, selector: {}, template: {}}",
		"d.spec.template.spec.containers[0].ports[0]: containerPort is missing": "spec: {selector: {}, template: {spec: {containers: [" +
			"{name: x, ports: [{name: y}]}]}}}",
		"d.spec.strategy.rollingUpdate.maxSurge: true is of no type that the schema has": "spec: {selector: {}, template: {}, strategy: " +
			"{rollingUpdate: {maxSurge: true}}}",
		"d.metadata.labels.a: 1 is no string": "metadata: {labels: {a: 1}}",
		"d.spec: a list":                      "spec: []",
	} {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		if got := all.check("d", o, deployment); !slices.Contains(got, fault) {
			t.Errorf("%s: %q", text, got)
		}
	}
}
