# rails_server.rb - what a Ruby on Rails application does to its allocator.
#
#   ruby rails_server.rb SECONDS
#
# SECONDS stand for 30 minutes in ten phases.  A phase is a number of requests, served by 12 threads
# from a queue as a threaded application server does it, then a collection of garbage outside of
# requests (as servers are often set up to do), then nothing until the next phase.  The work is the
# same however long the run is, only the idle time shrinks.
#
# A request parses parameters, makes records of strings, renders them to HTML and to JSON, writes
# log lines, and looks for its fragments in a cache.  So strings have mixed lives:
#
#   a request         parameters, records, pages; all garbage when it ends
#   some phases       cached fragments of 200 bytes to 30 KiB, replaced at random
#   the whole run     sessions: many small strings, which change one by one
#
# Every third phase also exports a report: strings of some MiB, gone at the end of the phase.  All
# that is random comes from the number of the request, so that threads may take them in any order.
#
# At the end two numbers are printed, separated by a tab: requests, and the seconds that the phases
# took without the idle times.

require 'erb'
require 'json'

PHASES = 10
THREADS = 12
FRAGMENTS = 1500
SESSIONS = 600
# Requests of each phase: a morning, a peak, an evening.
REQUESTS = [500, 800, 1000, 1600, 900, 1300, 700, 600, 400, 600].freeze

PAGE = ERB.new(<<~HTML, trim_mode: '-')
  <html><head><title><%= ERB::Util.html_escape(title) %></title></head><body>
  <%- records.each do |record| -%>
    <div class="record" id="r<%= record['id'] %>">
      <h2><%= ERB::Util.html_escape(record['name']) %></h2>
      <p><%= ERB::Util.html_escape(record['text']) %></p>
      <ul><%- record['tags'].each do |tag| -%><li><%= tag %></li><%- end -%></ul>
    </div>
  <%- end -%>
  </body></html>
HTML
PAGE.def_method(Object, 'render_page(title, records)')

WORDS = Random.new(1).then do |random|
  Array.new(2000) { Array.new(2 + random.rand(9)) { (97 + random.rand(26)).chr }.join.freeze }
end

def sentence(random, words)
  Array.new(words) { WORDS[random.rand(WORDS.size)] }.join(' ')
end

# What outlives a request; one lock, as the cache stores of Rails have.
class Store
  def initialize
    @lock = Mutex.new
    @fragments = {}
    @sessions = {}
  end

  def fragment(key)
    cached = @lock.synchronize { @fragments[key] }
    return cached if cached

    made = yield
    @lock.synchronize { @fragments[key] = made }
  end

  def expire(key)
    @lock.synchronize { @fragments.delete(key) }
  end

  def remember(user, values)
    @lock.synchronize { (@sessions[user] ||= {}).merge!(values) }
  end
end

def records_for(random, count)
  Array.new(count) do |i|
    {
      'id' => random.rand(1_000_000),
      'name' => sentence(random, 2 + random.rand(4)),
      'text' => sentence(random, 5 + random.rand(i.zero? ? 400 : 60)),
      'tags' => Array.new(random.rand(6)) { WORDS[random.rand(WORDS.size)].dup }
    }
  end
end

# Fragments have all sizes: each doubling from 200 bytes to 30 KiB is as likely as the next.
def render_fragment(random)
  bytes = 200 << random.rand(8)
  text = +''
  text << '<p>' << sentence(random, 10) << '</p>' while text.bytesize < bytes
  text
end

def serve(number, store, log)
  random = Random.new(number)
  query = Array.new(8) { |i| "p#{i}=#{WORDS[random.rand(WORDS.size)]}%20#{random.rand(1000)}" }
  parameters = query.join('&').split('&').to_h { |pair| pair.split('=', 2) }
  parameters.transform_values! { |value| value.gsub('%20', ' ') }

  records = records_for(random, 10 + random.rand(60))
  page = render_page(parameters['p0'], records)
  4.times do
    key = random.rand(FRAGMENTS)
    store.expire(key) if random.rand(4).zero?
    page << store.fragment(key) { render_fragment(random) }
  end
  body = number % 3 == 0 ? JSON.generate('page' => page, 'records' => records) : page
  seen = { 'last' => parameters['p1'], "k#{random.rand(6)}" => body[0, 100] }
  store.remember(random.rand(SESSIONS), seen)
  log << "#{number} GET /records?#{query.join('&')} 200 #{body.bytesize} bytes"
end

# A long string out of many short ones, and a longer copy of it.
def export_report(number)
  random = Random.new(number)
  lines = Array.new(40_000) do |i|
    "#{i},#{WORDS[random.rand(WORDS.size)]},#{random.rand(1 << 40)}\n"
  end
  report = lines.join
  (report * 4).encode('UTF-16LE').bytesize
end

# Threads that live for the whole run; each answers with the bytes that it logged.
def start_threads(requests, answers, store)
  THREADS.times do
    Thread.new do
      while (request = requests.pop)
        log = []
        request.negative? ? export_report(request) : serve(request, store, log)
        answers << log.sum(&:bytesize)
      end
    end
  end
end

def run_phase(phase, first_request, requests, answers)
  numbers = (first_request...first_request + REQUESTS[phase]).to_a
  # A negative number is a report.
  numbers << -phase if phase % 3 == 2
  numbers.each { |number| requests << number }
  numbers.size.times { answers.pop }
end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

seconds = Float(ARGV.fetch(0))
requests = Queue.new
answers = Queue.new
start_threads(requests, answers, Store.new)
served = 0
busy_seconds = 0.0
start = now
PHASES.times do |phase|
  phase_start = now
  run_phase(phase, served, requests, answers)
  served += REQUESTS[phase]
  GC.start
  busy_seconds += now - phase_start
  idle = start + seconds * (phase + 1) / PHASES - now
  sleep(idle) if idle.positive?
end
puts format("%d\t%.3f", served, busy_seconds)
