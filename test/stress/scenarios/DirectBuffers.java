import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.SynchronousQueue;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;
import sun.misc.Unsafe;

/**
 * DirectBuffers - a Java server's memory outside the Java heap.
 *
 * <p>java DirectBuffers SECONDS
 *
 * <p>SECONDS stand for 30 minutes in ten phases; the work of a phase is the same however long the
 * run is, only the idle time after it shrinks.  In a phase
 *
 * <ul>
 *   <li>8 threads, which live for the whole run, each turn over a pool of direct buffers of 256
 *       bytes to 128 KiB.  The pool is larger in some phases than in others, and a buffer that one
 *       thread made is freed by the next;
 *   <li>120 threads live for a moment each: they make buffers of their own, compress and inflate
 *       (zlib's state is malloc's), and end.
 * </ul>
 *
 * <p>Buffers are freed by their cleaner, as Netty does it, and not when the collector finds them:
 * else it would be the Java heap that decides when memory goes back.  Seeds are fixed.
 *
 * <p>At the end two numbers are printed, separated by a tab: buffers, and the seconds that the
 * phases took without the idle times.
 */
public final class DirectBuffers {
    private static final int PHASES = 10;
    private static final int THREADS = 8;
    private static final int SHORT_THREADS = 120;
    private static final int SHORT_THREADS_AT_ONCE = 12;
    private static final int BUFFERS_A_PHASE = 6000;
    private static final int POOL_EXCESS = 40;

    /** Buffers that each thread's pool holds at the end of each phase. */
    private static final int[] POOL_BUFFERS = {200, 500, 120, 700, 60, 400, 250, 600, 100, 60};

    private static final Unsafe UNSAFE = unsafe();

    private static Unsafe unsafe() {
        try {
            Field field = Unsafe.class.getDeclaredField("theUnsafe");
            field.setAccessible(true);
            return (Unsafe) field.get(null);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Each doubling of the size is as likely as the next. */
    private static ByteBuffer makeBuffer(Random random) {
        int low = 256 << random.nextInt(9);
        ByteBuffer buffer = ByteBuffer.allocateDirect(low + random.nextInt(low));
        buffer.putLong(0, low);
        return buffer;
    }

    private static void freeBuffer(ByteBuffer buffer) {
        if (buffer != null) {
            UNSAFE.invokeCleaner(buffer);
        }
    }

    /** One pool a thread; what is taken out of a pool is freed by whoever did. */
    private static final class Pool {
        private final ArrayDeque<ByteBuffer> buffers = new ArrayDeque<>();

        synchronized void add(ByteBuffer buffer) {
            buffers.addLast(buffer);
        }

        synchronized ByteBuffer takeAbove(int count) {
            return buffers.size() > count ? buffers.removeFirst() : null;
        }
    }

    private static void turnOver(Pool own, Pool next, int phase, int thread) {
        Random random = new Random(phase * 1000L + thread);
        for (int i = 0; i < BUFFERS_A_PHASE; i++) {
            own.add(makeBuffer(random));
            freeBuffer(next.takeAbove(POOL_BUFFERS[phase]));
            // Where the neighbour has no time to run.
            freeBuffer(own.takeAbove(POOL_BUFFERS[phase] + POOL_EXCESS));
        }
    }

    /** What a thread that was ahead of its neighbour left. */
    private static void trimPools(List<Pool> pools, int phase) {
        for (Pool pool : pools) {
            for (ByteBuffer old; (old = pool.takeAbove(POOL_BUFFERS[phase])) != null; ) {
                freeBuffer(old);
            }
        }
    }

    private static void serveOnce(long seed) {
        Random random = new Random(seed);
        List<ByteBuffer> buffers = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            buffers.add(makeBuffer(random));
        }
        byte[] plain = new byte[4000 + random.nextInt(20000)];
        for (int at = 0; at < plain.length; at++) {
            plain[at] = (byte) ('a' + random.nextInt(12));
        }
        byte[] packed = new byte[plain.length + 100];
        Deflater deflater = new Deflater(1 + random.nextInt(6));
        deflater.setInput(plain);
        deflater.finish();
        int length = deflater.deflate(packed);
        deflater.end();
        Inflater inflater = new Inflater();
        inflater.setInput(packed, 0, length);
        try {
            if (inflater.inflate(plain) != plain.length) {
                throw new IllegalStateException("zlib gave another length back");
            }
        } catch (DataFormatException error) {
            throw new IllegalStateException(error);
        }
        inflater.end();
        buffers.forEach(DirectBuffers::freeBuffer);
    }

    private static void joinAll(List<Thread> threads) throws InterruptedException {
        for (Thread thread : threads) {
            thread.join();
        }
        threads.clear();
    }

    private static void runShortThreads(int phase) {
        try {
            List<Thread> running = new ArrayList<>();
            for (int i = 0; i < SHORT_THREADS; i++) {
                long seed = -1 - phase * 1000L - i;
                Thread thread = new Thread(() -> serveOnce(seed));
                thread.start();
                running.add(thread);
                if (running.size() == SHORT_THREADS_AT_ONCE) {
                    joinAll(running);
                }
            }
            joinAll(running);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    /** A thread that sleeps between the phases. */
    private static final class Worker extends Thread {
        private final SynchronousQueue<Runnable> jobs = new SynchronousQueue<>();

        Worker() {
            setDaemon(true);
        }

        @Override
        public void run() {
            try {
                for (;;) {
                    jobs.take().run();
                }
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    private static void runPhase(List<Worker> workers, List<Pool> pools, int phase)
            throws InterruptedException {
        CountDownLatch done = new CountDownLatch(THREADS + 1);
        for (int i = 0; i < THREADS; i++) {
            int thread = i;
            workers.get(i).jobs.put(() -> {
                turnOver(pools.get(thread), pools.get((thread + 1) % THREADS), phase, thread);
                done.countDown();
            });
        }
        workers.get(THREADS).jobs.put(() -> {
            runShortThreads(phase);
            done.countDown();
        });
        done.await();
        trimPools(pools, phase);
    }

    public static void main(String[] arguments) throws InterruptedException {
        double seconds = Double.parseDouble(arguments[0]);
        List<Worker> workers = new ArrayList<>();
        List<Pool> pools = new ArrayList<>();
        for (int i = 0; i <= THREADS; i++) {
            workers.add(new Worker());
            workers.get(i).start();
            pools.add(new Pool());
        }
        long start = System.nanoTime();
        long busy = 0;
        for (int phase = 0; phase < PHASES; phase++) {
            long phaseStart = System.nanoTime();
            runPhase(workers, pools, phase);
            busy += System.nanoTime() - phaseStart;
            long due = start + (long) (seconds * 1e9 * (phase + 1) / PHASES);
            long idleMillis = (due - System.nanoTime()) / 1_000_000;
            if (idleMillis > 0) {
                Thread.sleep(idleMillis);
            }
        }
        long buffers = (long) PHASES * (THREADS * BUFFERS_A_PHASE + SHORT_THREADS * 20);
        System.out.printf("%d\t%.3f%n", buffers, busy / 1e9);
    }
}
