package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFormats(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		name   string
		format Format
		want   string
	}{
		{"text", FormatText, `msg="node started" role=home`},
		{"json", FormatJSON, `"msg":"node started","role":"home"`},
		{"auto where there is no terminal", FormatAuto, `"msg":"node started","role":"home"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			logger, err := NewLogger(&b, c.format, slog.LevelInfo)
			if err != nil {
				t.Fatal(err)
			}
			logger.Info("node started", KeyRole, "home")
			if !strings.Contains(b.String(), c.want) {
				t.Errorf("got %s, want %s", &b, c.want)
			}
		})
	}
	if _, err := NewLogger(file, FormatAuto, slog.LevelInfo); err != nil {
		t.Error(err)
	}
	if isTerminal(file) {
		t.Error("a file is taken for a terminal")
	}
	if _, err := NewLogger(file, "xml", slog.LevelInfo); err == nil || err.Error() != `make logger: "xml" is not a format` {
		t.Errorf("got %v", err)
	}
}

func TestTheLevelMayChangeWhileTheLoggerIsInUse(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	logger, err := NewLogger(&b, FormatJSON, &level)
	if err != nil {
		t.Fatal(err)
	}
	logger.Debug("one")
	level.Set(slog.LevelDebug)
	logger.Debug("two")
	level.Set(slog.LevelError)
	logger.Warn("three")
	if got := messages(t, b.Bytes()); strings.Join(got, " ") != "two" {
		t.Errorf("got %q, want two", got)
	}
}

// messages returns the messages of JSON records.
func messages(t *testing.T, log []byte) []string {
	t.Helper()
	var all []string
	for line := range bytes.Lines(log) {
		var record struct{ Msg string }
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, record.Msg)
	}
	return all
}
