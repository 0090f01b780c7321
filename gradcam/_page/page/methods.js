// The methods: their names in Python, what they are called, and how their maps are drawn.

/**
 * `layered`: a layer can be chosen. `view`, as in gradcam's figures: "map" in colours over the grey
 * picture; "magnitude" in grey; "signed" around mid-grey, a colour for each channel.
 * @type {{name: string, title: string, layered: boolean, view: "map" | "magnitude" | "signed"}[]}
 */
export const METHODS = [
  {name: "grad_cam", title: "Grad-CAM", layered: true, view: "map"},
  {name: "guided_grad_cam", title: "Guided Grad-CAM", layered: true, view: "signed"},
  {name: "deconv_grad_cam", title: "Deconv Grad-CAM", layered: true, view: "signed"},
  {name: "saliency", title: "Saliency", layered: false, view: "magnitude"},
  {name: "guided_backprop", title: "Guided backprop", layered: false, view: "signed"},
  {name: "deconvnet", title: "Deconvnet", layered: false, view: "signed"},
  {name: "counterfactual", title: "Counterfactual", layered: true, view: "map"},
];

/** The layer of methods that have none to choose: the picture itself. */
export const INPUT = "input";

/**
 * Returns a method by its name; undefined if there is none.
 * @param {string} name
 */
export function methodCalled(name) {
  return METHODS.find((method) => method.name === name);
}

/**
 * Returns the layers that maps can be asked of: those after a ReLU or pooling, with height and width,
 * from the first to the last.
 * @param {{name: string, op: string, shape: number[]}[]} layers
 */
export function mapLayers(layers) {
  const isMap = (shape) => shape.length === 3 && shape[1] > 1;
  return layers.filter(({name, shape}) => /^(relu|pool)\d/.test(name) && isMap(shape));
}
