package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/perihelion-proxy/perihelion/runtime/abi"
	"github.com/perihelion-proxy/perihelion/runtime/engine/fuel"
)

const (
	// maxInstances is how many instances of a module one tenant may have; further callers wait.
	maxInstances = 2
	// maxPools is how many tenants have instances of a module at a time; one more gives back the idle ones of others.
	maxPools = 64
)

// Module is a loaded policy. It is safe for concurrent use. Its lock comes before a pool's.
type Module struct {
	engine   *Engine
	options  ModuleOptions
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	config   string
	limiter  limiter

	mu struct {
		sync.Mutex
		pools map[string]*pool
		// calls are under way; done is closed when the module is closed and the last has ended.
		calls   int
		closing bool
		closed  error
		done    chan struct{}
	}
}

// pool is the instances of one tenant.
type pool struct {
	module *Module
	tenant string
	// slots bounds the instances in use; idle are those that are not.
	slots chan struct{}
	mu    sync.Mutex
	idle  []*instance
	users int // guarded by Module.mu
}

// instance is one guest. It has one caller at a time.
type instance struct {
	module *Module
	guest  api.Module
	fuel   api.MutableGlobal
	// given is the fuel of the call at hand, and saved what calls before it left: a guest with a garbage collector works
	// little in most calls, and in one of ten thousand much.
	given, saved int64
	hooks        map[string]api.Function
	ctx          context.Context // tells the host's functions whose call it is
	stack        [1]uint64       // what a hook returns
	tenant       string
	store        *Store
	counters     *Counters
	random       *rand.ChaCha8
	used         bool               // since the last LetGo; guarded by pool.mu
	printed      [2]strings.Builder // the unfinished lines of stdout and stderr
	hook         string
	// current is the statement that fields and decisions speak of, one of hot in on_tick. Nil: there is none.
	current Call
	hot     []Call
}

// Decide calls the module's decide for a tenant. call answers the guest's questions and takes its decisions, in this
// goroutine. An error is [ErrClosed], the context's, or a [*Failure]; the decisions that were stated before a failure
// are not to be used.
func (m *Module) Decide(ctx context.Context, tenant string, call Call) error {
	return m.call(ctx, tenant, abi.HookDecide, call, nil)
}

// OnResult calls the module's on_result, where it has one, as Decide does.
func (m *Module) OnResult(ctx context.Context, tenant string, call Call) error {
	if !m.Has(abi.HookOnResult) {
		return nil
	}
	return m.call(ctx, tenant, abi.HookOnResult, call, nil)
}

// OnTick calls the module's on_tick, where it has one, with the tenant's hottest statements, the hottest first. After an
// error the decisions of none of them are to be used.
func (m *Module) OnTick(ctx context.Context, tenant string, hot []Call) error {
	if !m.Has(abi.HookOnTick) {
		return nil
	}
	var first Call
	if len(hot) > 0 {
		first = hot[0]
	}
	return m.call(ctx, tenant, abi.HookOnTick, first, hot)
}

func (m *Module) call(ctx context.Context, tenant, hook string, call Call, hot []Call) error {
	p, err := m.enter(ctx, tenant)
	if err != nil {
		return err
	}
	defer m.leave(p)
	one, err := p.take(ctx)
	if err != nil {
		return err
	}
	one.hot = hot
	err = one.run(hook, call)
	one.hot = nil
	p.put(ctx, one, err == nil)
	return err
}

// enter counts a call in, and returns the tenant's pool.
func (m *Module) enter(ctx context.Context, tenant string) (*pool, error) {
	m.mu.Lock()
	p := m.mu.pools[tenant]
	var crowd []*pool
	if m.mu.closing {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	if p == nil {
		if len(m.mu.pools) >= maxPools {
			for name, other := range m.mu.pools {
				if other.users == 0 {
					crowd = append(crowd, other)
					delete(m.mu.pools, name)
				}
			}
		}
		p = &pool{module: m, tenant: tenant, slots: make(chan struct{}, maxInstances)}
		m.mu.pools[tenant] = p
	}
	p.users++
	m.mu.calls++
	m.mu.Unlock()
	for _, other := range crowd {
		other.empty(ctx)
	}
	return p, nil
}

// leave counts a call out. The last one of a closed module closes what is left.
func (m *Module) leave(p *pool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.users--
	m.endedLocked()
}

// endedLocked counts down what Close waits for.
func (m *Module) endedLocked() {
	m.mu.calls--
	if m.mu.closing && m.mu.calls == 0 {
		close(m.mu.done)
	}
}

// Close takes no more calls, waits until those under way have ended, and gives everything back. It may be called twice.
func (m *Module) Close(ctx context.Context) error {
	m.mu.Lock()
	first := !m.mu.closing
	if first {
		m.mu.closing, m.mu.done = true, make(chan struct{})
		if m.mu.calls == 0 {
			close(m.mu.done)
		}
	}
	done := m.mu.done
	m.mu.Unlock()
	<-done
	if !first {
		return nil
	}
	err := m.runtime.Close(ctx) // every instance
	if m.compiled != nil {
		// A runtime does not give back code that lies in a shared cache.
		err = errors.Join(err, m.compiled.Close(ctx))
	}
	if err != nil {
		return fmt.Errorf("close policy module: %w", err)
	}
	return nil
}

// LetGo closes the instances that nobody used since it was last called. Called now and then, it keeps a policy that
// has decided all there is from holding memory for nothing.
func (m *Module) LetGo(ctx context.Context) {
	m.mu.Lock()
	if m.mu.closing {
		m.mu.Unlock()
		return
	}
	m.mu.calls++ // so that Close waits
	var unused []*instance
	for tenant, p := range m.mu.pools {
		var left int
		unused, left = p.unused(unused)
		if left == 0 && p.users == 0 {
			delete(m.mu.pools, tenant)
		}
	}
	m.mu.Unlock()
	for _, one := range unused {
		one.close(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endedLocked()
}

// unused takes the instances out that were not used since the last time, and returns how many are left.
func (p *pool) unused(to []*instance) (unused []*instance, left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[:0]
	for _, one := range p.idle {
		if !one.used {
			to = append(to, one)
			continue
		}
		one.used = false
		kept = append(kept, one)
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	return to, len(kept)
}

// take returns an instance for one call, a new one where none is idle.
func (p *pool) take(ctx context.Context) (*instance, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	var one *instance
	if n := len(p.idle); n > 0 {
		one = p.idle[n-1]
		p.idle = p.idle[:n-1]
	}
	p.mu.Unlock()
	if one != nil {
		return one, nil
	}
	one, err := p.module.instantiate(ctx, p.tenant, p.module.options.Store, p.module.options.Counters)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return one, nil
}

// put gives an instance back after a call; one that failed is thrown away.
func (p *pool) put(ctx context.Context, one *instance, sound bool) {
	if sound {
		p.mu.Lock()
		one.used = true
		p.idle = append(p.idle, one)
		p.mu.Unlock()
	} else {
		one.close(ctx)
	}
	<-p.slots
}

func (p *pool) empty(ctx context.Context) {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, one := range idle {
		one.close(ctx)
	}
}

// instantiate makes an instance, and lets it initialise and configure itself.
func (m *Module) instantiate(ctx context.Context, tenant string, store *Store, counters *Counters) (_ *instance, err error) {
	one := &instance{module: m, random: seeded(m.options.Seed, tenant), hook: "start", tenant: tenant, store: store, counters: counters}
	one.ctx = context.WithValue(context.WithoutCancel(ctx), instanceKey{}, one)
	// Without a name, so that there may be several. Nobody reads the source of randomness, but wazero's own takes long to
	// make.
	one.guest, err = m.runtime.InstantiateModule(one.ctx, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(one.random))
	if err != nil {
		if strings.Contains(err.Error(), "unreachable") {
			// What its fuel was is gone with the instance.
			err = fmt.Errorf("trapped in its start function, or spent its fuel of %d there", m.options.Fuel*manyTimes)
		}
		return nil, one.explain(err)
	}
	defer func() {
		if err != nil {
			one.close(ctx)
		}
	}()
	one.fuel = meterOf(one.guest)
	one.hooks = map[string]api.Function{}
	for hook := range abi.Hooks {
		if f := one.guest.ExportedFunction(hook); f != nil {
			one.hooks[hook] = f // to look it up takes microseconds
		}
	}
	for _, hook := range []string{abi.HookInitialize, abi.HookConfigure} {
		if one.hooks[hook] != nil {
			if err := one.run(hook, nil); err != nil {
				return nil, err
			}
		}
	}
	return one, nil
}

// meterOf returns the fuel of a guest. It has one: the rewriter saw to that.
func meterOf(guest api.Module) api.MutableGlobal {
	return guest.ExportedGlobal(fuel.Export).(api.MutableGlobal)
}

// errSpent ends a call whose fuel a function of the host found to be spent.
var errSpent = errors.New("fuel is spent")

// charge lowers the fuel for what a function of the host does. It panics where it is spent, which ends the call.
func (i *instance) charge(steps int) {
	left := int64(i.fuel.Get()) - int64(steps)
	i.fuel.Set(uint64(left))
	if left < 0 {
		panic(errSpent)
	}
}

// frequent reports whether a hook is called often, and so has the smaller budget.
func frequent(hook string) bool { return hook == abi.HookDecide || hook == abi.HookOnResult }

// fill gives a call its fuel.
func (i *instance) fill(hook string) {
	i.given = i.module.options.Fuel * manyTimes
	if frequent(hook) {
		i.given = i.module.options.Fuel + i.saved
	}
	i.fuel.Set(uint64(i.given))
}

// save keeps what a call left for those after it, so that none has more than a rare call has. A new instance has saved
// nothing, so one that fails again and again has no more than its budget.
func (i *instance) save(hook string) {
	if frequent(hook) {
		i.saved = min(int64(i.fuel.Get()), i.module.options.Fuel*(manyTimes-1))
	}
}

// run calls one export. After an error the instance must not be used again.
func (i *instance) run(hook string, call Call) (err error) {
	i.current, i.hook = call, hook
	defer func() {
		i.current = nil
		i.flush(1)
		i.flush(2)
		if p := recover(); p != nil {
			// wazero turns what happens in a guest into errors; what comes here is a bug of a host function. It ends this
			// call, not the node.
			err = failure(hook, "host function panicked: %v", p)
		}
	}()
	i.fill(hook)
	i.stack[0] = 0
	if err := i.hooks[hook].CallWithStack(i.ctx, i.stack[:]); err != nil {
		return i.explain(err)
	}
	if code := int32(i.stack[0]); hook != abi.HookInitialize && code != 0 {
		return failure(hook, "returned %d", code)
	}
	i.save(hook)
	return nil
}

// explain turns an error of wazero into a failure.
func (i *instance) explain(err error) error {
	var exit *sys.ExitError
	switch {
	case errors.As(err, &exit):
		return failure(i.hook, "exited with %d", exit.ExitCode())
	case i.fuel != nil && int64(i.fuel.Get()) < 0:
		if i.given == 0 { // in the start function
			i.given = i.module.options.Fuel * manyTimes
		}
		return failure(i.hook, "spent its fuel of %d", i.given)
	}
	return failure(i.hook, "%v", err)
}

func (i *instance) close(ctx context.Context) {
	if i.guest != nil {
		_ = i.guest.Close(context.WithoutCancel(ctx)) // always nil: there are no files to close
	}
}

// seeded returns the randomness of one tenant's instances.
func seeded(seed uint64, tenant string) *rand.ChaCha8 {
	h := fnv.New128a()
	h.Write([]byte(tenant)) // never fails
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	copy(key[8:], h.Sum(nil))
	return rand.NewChaCha8(key)
}
