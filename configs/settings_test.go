package configs

import (
	"slices"
	"testing"
)

func TestSettings(t *testing.T) {
	c := parsed(t, `
listeners: [{address: "127.0.0.1:6380"}, {address: "unix:/s", mode: 0600}]
upstream: {password: hunter2}
admin: {http: off}
rules: [{name: a, commands: [get, "@admin"], action: deny}]
limits: {memory: 1GiB}
`)
	got := c.Settings()
	for _, want := range []Setting{
		{"listeners[0].address", "127.0.0.1:6380", true},
		{"listeners[0].mode", "", true},
		{"listeners[1].mode", "0600", false},
		{"workers", "1", true},
		{"upstream.password", "(redacted)", false},
		{"upstream.password_file", "", true},
		{"upstream.connect_timeout", "5s", true},
		{"admin.http", "off", false},
		{"rules[0].commands", "[get, @admin]", false},
		{"rules[0].except", "[]", false},
		{"limits.memory", "1GiB", false},
		{"limits.client_input", "1GiB", true},
		{"telemetry.sample", "0.001", true},
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%+v is not in %+v", want, got)
		}
	}
}

func TestSettingsOfRules(t *testing.T) {
	for text, want := range map[string]Setting{
		"":          {"rules", "(built-in)", true},
		"rules: []": {"rules", "[]", false},
	} {
		if got := parsed(t, text).Settings(); !slices.Contains(got, want) {
			t.Errorf("%q: %+v is not in %+v", text, want, got)
		}
	}
}

func TestDefaultSettingsAreDefaults(t *testing.T) {
	for _, s := range Default().Settings() {
		if !s.Default {
			t.Errorf("%+v", s)
		}
	}
}
