// Starts one Elasticsearch node: `Launch HOME HTTP-PORT TRANSPORT-PORT [ADDRESS]`, where
// the address is that of the loopback if none is given.
//
// Elasticsearch's own launcher asks for native code and a security manager that are not published;
// the node itself needs neither. It prints a line once it answers, and ends by SIGTERM.

import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

public final class Launch {
    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Settings settings = Settings.builder()
            .put("path.home", home.toString())
            .put("cluster.name", "prelaunch-tests")
            .put("node.name", "node")
            .put("discovery.type", "single-node")
            .put("network.host", arguments.length > 3 ? arguments[3] : "127.0.0.1")
            .put("http.port", arguments[1])
            .put("transport.port", arguments[2])
            // A test machine's disk may be as full as it likes.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        LogConfigurator.configureWithoutConfig(settings);
        Environment environment = new Environment(settings, home.resolve("config"));
        PluginsLoader plugins = PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(environment.modulesDir()),
            PluginsLoader.loadPluginsBundles(environment.pluginsDir()),
            Map.of(),
            false
        );
        Node node = new Node(environment, plugins);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception failed) {
                failed.printStackTrace();
            }
        }));
        node.start();
        System.out.println("answers on " + arguments[1]);
        new CountDownLatch(1).await();
    }
}
